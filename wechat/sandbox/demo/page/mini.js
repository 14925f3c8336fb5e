// The mini program: it asks for consent, gets codes from WeChat, has the bridge
// issue a ticket, and goes back to the app.

import { $, list, make, problem, show, turn } from './dom.js'
import { failures } from './failures.js'
import { pick, say, text } from './i18n.js'
import { launchQuery, refusal } from './protocol.js'
import { call, note } from './timeline.js'

// The app's own AppID at WeChat, which the mini program is told and tells the
// bridge; pools can have a list of those that may launch.
const sourceApp = 'wxfedcba9876543210'

// newMini returns the mini program. It calls issued with a ticket's life in
// seconds and when its request was sent, and returned with extMsg.
export function newMini(info, { issued, returned }) {
  let query // of the launch
  let parameter // app-parameter of the button that is shown

  async function allow(withPhone) {
    const launch = query
    const gone = () => query !== launch // the user left, or came anew
    const user = $('user').value
    const base = info.bridgeUrl
    turn('mini-busy')
    const codes = {}
    if (withPhone) {
      const answer = await call({ from: 'mini', to: 'wechat', what: 'log.phoneCode', base, path: '/sandbox/wechat/phone-code',
        body: { appId: info.appId, user, phone: $('phone').value } })
      if (gone()) return
      if (answer.status !== 200) return fail(answer)
      codes.phoneCode = answer.json.code
    }
    // The login code comes last: one that waits for the user grows old.
    const login = await call({ from: 'mini', to: 'wechat', what: 'log.loginCode', base, path: '/sandbox/wechat/login-code',
      body: { appId: info.appId, user } })
    if (gone()) return
    if (login.status !== 200) return fail(login)

    const sent = performance.now()
    const { userPoolId, code_challenge, code_challenge_method, state } = launch
    const answer = await call({ from: 'mini', to: 'bridge', what: 'log.issue', base, path: `/oauth/app2wxapp/ticket/${userPoolId}`,
      body: { code: login.json.code, ...codes, code_challenge, code_challenge_method, state,
        launch: { scene: 1069, appId: sourceApp }, userInfo: { nickName: user } } })
    if (gone()) return
    if (answer.json?.code !== 200) return fail(answer)
    parameter = answer.json.appParameter
    issued(answer.json.expiresIn, sent)
    if (answer.json.user.phone) {
      delete $('masked').dataset.t
      $('masked').textContent = answer.json.user.phone
    } else {
      say($('masked'), 'mini.noPhone')
    }
    $('parameter').textContent = parameter
    turn('mini-done')
  }

  function fail(answer) {
    parameter = refusal(answer.json?.code ?? 500, '登录失败', query.state)
    $('issue-problem').replaceChildren(problem(answer))
    turn('mini-failed')
  }

  function leave(what) {
    note('mini', 'app', what, parameter)
    show('mini-left')
    returned(parameter)
  }

  function describeFailure() {
    const failure = failures.find(f => f.user === $('user').value)
    $('failure').value = failure?.user ?? ''
    $('failure-why').textContent = !failure ? '' : text('mini.comes',
      { why: pick(failure.why), comes: failure.comes === 'ok' ? text('mini.comesOk') : failure.comes })
  }

  function describeParties() {
    if (!query) return
    list('parties', { [text('mini.pool')]: query.userPoolId, [text('mini.caller')]: `${text('app.brand')} ${sourceApp}` })
    say($('asks'), 'mini.consent', { app: text('app.brand') })
  }

  const ordinary = pick(['小红', 'Alice'])
  $('user').value = ordinary
  $('phone').value = '13800138000'
  const none = make('option', { value: '' })
  say(none, 'mini.faultless')
  $('failure').append(none, ...failures.map(f => make('option', { value: f.user }, `${f.user} → ${f.comes}`)))
  $('failure').addEventListener('change', () => {
    $('user').value = $('failure').value || ordinary
    describeFailure()
  })
  $('user').addEventListener('input', describeFailure)
  document.addEventListener('languagechange', () => {
    describeFailure()
    describeParties()
  })

  $('mini-consent').addEventListener('submit', event => {
    event.preventDefault()
    allow(true)
  })
  $('allow').addEventListener('click', () => $('user').reportValidity() && allow(false))
  $('refuse').addEventListener('click', () => {
    parameter = refusal(400, '用户取消授权', query.state)
    leave('log.refuse')
  })
  $('back').addEventListener('click', () => leave('log.return'))
  $('back-failed').addEventListener('click', () => leave('log.return'))
  $('retry').addEventListener('click', () => turn('mini-consent'))

  return {
    // launch opens the mini program with a launch path.
    launch(path) {
      query = launchQuery(path)
      describeParties()
      turn('mini-consent')
    },
    // close is the user's leaving it without a word.
    close() {
      query = undefined
      show('mini-idle')
    },
  }
}
