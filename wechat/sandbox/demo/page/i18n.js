// Every text of the page, in Chinese and in English.

const texts = {
  'title': ['app2wxapp 沙箱', 'app2wxapp sandbox'],
  'banner': ['模拟的微信，不可用于生产环境。这里的用户、手机号、密钥都是假的。', 'Simulated WeChat, not for production. Users, phone numbers and secrets here are made up.'],
  'headline': ['在 App 里用微信登录', 'Log in to a native app with WeChat'],
  'intro': ['这一页同时扮演手机 App、微信小程序和你的服务器；app2wxapp 是真的。从左边的按钮开始。', 'This page plays the app, the WeChat mini program and your server; app2wxapp behind it is real. Begin with the button on the left.'],
  'turn': ['轮到这里', 'Your turn'],
  'insecure': ['浏览器只在安全环境提供 WebCrypto：请用 http://127.0.0.1 打开本页。', 'Browsers offer WebCrypto in secure contexts only: open this page at http://127.0.0.1.'],
  'broken': ['沙箱没有回答。请看启动它的终端。', 'The sandbox does not answer. Look at the terminal that runs it.'],
  'restart': ['重新开始', 'Start again'],
  'copy': ['复制', 'Copy'],
  'copied': ['已复制', 'Copied'],
  'show': ['显示', 'Show'],
  'hide': ['隐藏', 'Hide'],

  'app.name': ['手机 App', 'Native app'],
  'app.what': ['用微信 OpenSDK 打开小程序', 'Opens WeChat by its OpenSDK'],
  'app.brand': ['示例 App', 'Demo App'],
  'app.welcome': ['欢迎', 'Welcome'],
  'app.tagline': ['登录后继续使用', 'Log in to continue'],
  'app.login': ['微信登录', 'Log in with WeChat'],
  'app.makes': ['点击后，App 生成 code_verifier 与 state，并把 S256 摘要放进启动路径。', 'On your tap the app makes a code_verifier and a state, and puts the S256 digest into the launch path.'],
  'app.waiting': ['已打开微信', 'WeChat is open'],
  'app.waitingMore': ['等待小程序返回……', 'Waiting for the mini program …'],
  'app.keeps': ['App 保存', 'Kept by the app'],
  'app.path': ['WXLaunchMiniProgramReq.path', 'WXLaunchMiniProgramReq.path'],
  'app.back': ['回到 App', 'Back in the app'],
  'app.extMsg': ['WXLaunchMiniProgramResp.extMsg', 'WXLaunchMiniProgramResp.extMsg'],
  'app.parsed': ['按 & 拆分，再按第一个 = 拆分', 'Split on &, then at the first ='],
  'app.stateGood': ['state 与发起时一致', 'state is the one that was sent'],
  'app.stateBad': ['state 不一致：丢弃这次返回', 'state differs: this reply is dropped'],
  'app.left': ['票据剩余时间', 'Time left of the ticket'],
  'app.seconds': ['{n} 秒', '{n} s'],
  'app.over': ['票据已过期。换取会被拒绝，可以试试。', 'The ticket is over. A redemption will be refused; try it.'],
  'app.who': ['由谁换取', 'Who redeems'],
  'app.byServer': ['App 的服务器（带用户池密钥）', 'The app’s server (with the pool secret)'],
  'app.byApp': ['App 自己（不带密钥）', 'The app itself (without the secret)'],
  'app.idempotent': ['发送 Idempotency-Key', 'Send an Idempotency-Key'],
  'app.idempotentWhy': ['回答在路上丢失时，用同一个键重发会得到同一个回答，不算重放。', 'If the answer is lost on its way, the same key gets the same answer again and is no replay.'],
  'app.redeem': ['换取用户信息', 'Redeem'],
  'app.redeeming': ['换取中……', 'Redeeming …'],
  'app.unused': ['被拒绝的请求不会用掉票据：改正后可再换取。', 'A refused request uses nothing up: correct it and redeem again.'],
  'app.refused': ['登录没有完成', 'The login was not completed'],
  'app.done': ['登录成功', 'You are logged in'],
  'app.profile': ['完整回答', 'Whole answer'],
  'app.logout': ['退出并重新开始', 'Log out and start again'],

  'mini.name': ['微信小程序', 'WeChat mini program'],
  'mini.what': ['征得同意，向服务器要票据', 'Asks for consent, then for a ticket'],
  'mini.brand': ['小登录', 'Small login'],
  'mini.idle': ['请从 App 打开', 'Please start from the app'],
  'mini.idleMore': ['小程序只在场景 1069（由 App 打开）中登录。', 'The mini program logs in only in scene 1069: opened by an app.'],
  'mini.consent': ['{app} 申请以下信息', '{app} asks for'],
  'mini.pool': ['用户池', 'User pool'],
  'mini.caller': ['发起的 App', 'Launched by'],
  'mini.shareId': ['你的微信标识（openid、unionid）', 'Your WeChat identity (openid, unionid)'],
  'mini.shareName': ['你填写的名字', 'The name that you type'],
  'mini.sharePhone': ['你的手机号（可选）', 'Your phone number (optional)'],
  'mini.who': ['你在沙箱里是谁', 'Who you are in the sandbox'],
  'mini.user': ['名字', 'Name'],
  'mini.phone': ['手机号', 'Phone number'],
  'mini.phoneHint': ['大陆号码，或 E.164：+85291234567', 'Mainland digits, or E.164: +85291234567'],
  'mini.fault': ['让微信出错', 'Make WeChat fail'],
  'mini.faultless': ['不出错（普通用户）', 'No failure (an ordinary user)'],
  'mini.comes': ['{why} 结果：{comes}', '{why} Result: {comes}'],
  'mini.comesOk': ['登录成功', 'the login succeeds'],
  'mini.allowPhone': ['允许，带手机号', 'Allow with phone'],
  'mini.allow': ['允许，不带手机号', 'Allow without phone'],
  'mini.refuse': ['拒绝', 'Refuse'],
  'mini.busy': ['正在向服务器要票据……', 'Asking the server for a ticket …'],
  'mini.done': ['授权成功', 'Allowed'],
  'mini.masked': ['手机号', 'Phone number'],
  'mini.noPhone': ['未提供', 'not given'],
  'mini.parameter': ['launchApp 按钮的 app-parameter', 'app-parameter of the launchApp button'],
  'mini.tap': ['微信要求用户亲自点击才能返回。', 'WeChat demands a tap of the user to go back.'],
  'mini.back': ['返回 App', 'Back to the app'],
  'mini.failed': ['没有得到票据', 'There is no ticket'],
  'mini.retry': ['重新 wx.login 再试', 'Call wx.login again'],
  'mini.left': ['已返回 App', 'Gone back to the app'],
  'mini.leftMore': ['小程序的工作到此为止。', 'The mini program’s work is done.'],

  'server.name': ['你的服务器', 'Your server'],
  'server.what': ['app2wxapp 与 App 的服务器', 'app2wxapp and the app’s server'],
  'server.ticket': ['票据', 'Ticket'],
  'ticket.none': ['还没有', 'none yet'],
  'ticket.live': ['有效', 'live'],
  'ticket.redeemed': ['已换取', 'redeemed'],
  'ticket.over': ['已过期', 'over'],
  'server.checks': ['换取时的检查顺序', 'Order of checks at redemption'],
  'check.pool': ['用户池存在', 'The user pool exists'],
  'check.limit': ['未超过频率限制', 'Not too many attempts'],
  'check.secret': ['用户池密钥', 'Pool secret'],
  'check.ticket': ['票据与 code_verifier', 'Ticket and code_verifier'],
  'check.user': ['用户未被锁定', 'The user is not blocked'],
  'check.pass': ['通过', 'passed'],
  'check.stop': ['在此拒绝', 'refused here'],
  'server.token': ['令牌', 'Token'],
  'server.header': ['头部', 'Header'],
  'server.payload': ['载荷', 'Payload'],
  'server.check': ['检查令牌', 'Check token'],
  'server.repeat': ['用同一个键重发', 'Repeat, same key'],
  'server.again': ['再次换取', 'Redeem again'],
  'server.againWhy': ['“重发”带同一个 Idempotency-Key，得到同一个回答；“再次换取”不带，是重放：被拒绝，且第一个令牌被吊销。', '“Repeat” sends the same Idempotency-Key and gets the same answer. “Redeem again” sends none: a replay, which is refused and revokes the first token.'],
  'server.noKey': ['换取时没有发送 Idempotency-Key，所以不能重发。', 'No Idempotency-Key was sent with the redemption, so it cannot be repeated.'],
  'server.sameAnswer': ['同一个回答、同一个令牌，不算第二次登录。', 'The same answer, the same token; it counts as no second login.'],
  'server.otherAnswer': ['回答不同。', 'The answer differs.'],
  'server.redeemedTwice': ['第二次换取成功了：不应发生。', 'The second redemption succeeded: that must not happen.'],
  'server.refused': ['第二次换取被拒绝。', 'The second redemption was refused.'],
  'server.tokenGood': ['令牌有效', 'The token is valid'],
  'server.tokenBad': ['令牌无效', 'The token is not valid'],
  'server.tokenRevoked': ['第一个令牌已被吊销', 'The first token was revoked'],
  'server.addresses': ['地址与密钥', 'Addresses and secrets'],
  'server.bridge': ['公开接口', 'Public API'],
  'server.admin': ['管理接口', 'Admin API'],
  'server.secret': ['用户池密钥', 'Pool secret'],
  'server.adminToken': ['管理令牌', 'Admin token'],
  'server.appId': ['小程序 AppID', 'Mini program AppID'],

  'log.name': ['时间线', 'Timeline'],
  'log.what': ['每一步的请求与回答，可作为 curl 复制。', 'The request and answer of each step; copy them as curl.'],
  'log.empty': ['还没有事件。', 'Nothing has happened yet.'],
  'log.open': ['全部展开', 'Expand all'],
  'log.close': ['全部收起', 'Collapse all'],
  'log.clear': ['清空', 'Clear'],
  'log.launch': ['打开小程序', 'Open the mini program'],
  'log.phoneCode': ['用户点击手机号按钮，微信给出 code（模拟）', 'The phone button’s tap: WeChat gives a code (simulated)'],
  'log.loginCode': ['wx.login 得到 code（模拟）', 'wx.login gives a code (simulated)'],
  'log.issue': ['要票据', 'Ask for a ticket'],
  'log.return': ['点击 launchApp，返回 App', 'launchApp was tapped: back to the app'],
  'log.refuse': ['用户拒绝，返回 App', 'The user refuses: back to the app'],
  'log.pass': ['App 把票据交给自己的服务器', 'The app hands the ticket to its server'],
  'log.redeem': ['换取票据', 'Redeem the ticket'],
  'log.repeat': ['用同一个 Idempotency-Key 重发', 'Repeat with the same Idempotency-Key'],
  'log.again': ['再次换取（重放）', 'Redeem again (a replay)'],
  'log.check': ['检查令牌', 'Check the token'],
  'log.request': ['请求', 'Request'],
  'log.answer': ['回答', 'Answer'],
  'log.content': ['内容', 'Content'],
  'log.silent': ['没有回答', 'no answer'],
  'who.app': ['App', 'App'],
  'who.wechat': ['微信', 'WeChat'],
  'who.mini': ['小程序', 'Mini program'],
  'who.server': ['App 服务器', 'App server'],
  'who.bridge': ['app2wxapp', 'app2wxapp'],
}

let english = false

// language returns "zh-CN" or "en".
export const language = () => english ? 'en' : 'zh-CN'

// pick chooses from [Chinese, English].
export const pick = pair => pair[english ? 1 : 0]

// text returns a text with its {names} filled in.
export function text(key, args = {}) {
  if (!texts[key]) {
    console.error(`no text for ${key}`)
    return key
  }
  return pick(texts[key]).replace(/{(\w+)}/g, (_, name) => args[name] ?? '')
}

// say puts a text into an element, where it follows the language from then on.
export function say(element, key, args) {
  element.dataset.t = key
  if (args) element.dataset.args = JSON.stringify(args)
  else delete element.dataset.args
  element.textContent = text(key, args)
}

const stored = 'app2wxapp.sandbox.language'

// setLanguage translates the whole page and remembers the choice. Listeners of
// "languagechange" on the document translate what is not plain text.
export function setLanguage(tag) {
  english = tag === 'en'
  try {
    localStorage.setItem(stored, tag)
  } catch { /* a browser without storage forgets */ }
  translate()
}

// startLanguage takes the remembered language, or else the browser's: Chinese
// comes first, English is for browsers that prefer anything else.
export function startLanguage() {
  let tag
  try {
    tag = localStorage.getItem(stored)
  } catch { /* as if nothing was remembered */ }
  english = tag ? tag === 'en' : !/^zh\b/i.test(navigator.language || 'zh')
  translate()
}

function translate() {
  document.documentElement.lang = language()
  document.title = text('title')
  for (const e of document.querySelectorAll('[data-t]')) {
    e.textContent = text(e.dataset.t, e.dataset.args && JSON.parse(e.dataset.args))
  }
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', text(e.dataset.label))
  document.dispatchEvent(new Event('languagechange'))
}
