// User names at which the simulated WeChat misbehaves, with what comes of it:
// the error that the bridge answers, or "ok". The simulator's README.md has
// the whole vocabulary.

export const failures = [
  ['error-40226', 'wechat_risk', '微信判定该用户为高风险，拒绝登录。', 'WeChat takes this user for high-risk and blocks the login.'],
  ['error-40029', 'invalid_code', '登录 code 无效或过期，小程序应重新 wx.login。', 'The login code is invalid or too old; the mini program calls wx.login again.'],
  ['error-40163', 'invalid_code', '登录 code 已被使用过。', 'The login code was used before.'],
  ['phone:error-40029', 'invalid_code', '登录成功，手机号 code 无效（需选“允许，带手机号”）。', 'The login succeeds, the phone code is invalid (allow with phone).'],
  ['error--1', 'wechat_unavailable', '微信系统繁忙。', 'WeChat is busy.'],
  ['error-45011', 'wechat_unavailable', '超过微信每分钟调用额度。', 'WeChat’s quota per minute is used up.'],
  ['http-502', 'wechat_unavailable', '微信网关返回 502 页面。', 'A gateway of WeChat answers with a 502 page.'],
  ['garbage-html', 'wechat_unavailable', '微信返回 HTML 而不是 JSON。', 'WeChat answers with HTML instead of JSON.'],
  ['login:reset', 'wechat_unavailable', '连接在回答前被重置，code 已被用掉。', 'The connection is reset before the answer; the code is spent.'],
  ['login:hang', 'wechat_unavailable', '微信一直不回答，服务器在 wechat.timeout 后放弃。', 'WeChat never answers; the bridge gives up after wechat.timeout.'],
  ['watermark-old', 'wechat_unavailable', '手机号的水印时间过旧，不可信（需选“允许，带手机号”）。', 'The phone number’s watermark is too old to be trusted (allow with phone).'],
  ['watermark-appid', 'wechat_unavailable', '手机号属于另一个小程序（需选“允许，带手机号”）。', 'The phone number is for another mini program (allow with phone).'],
  ['token:error-40164', 'server_error', '服务器 IP 不在微信白名单，取不到 access_token（需选“允许，带手机号”）。', 'The server’s IP is not on WeChat’s list: no access token (allow with phone).'],
  ['kill-token', 'ok', 'access_token 被别处刷新而提前失效，服务器换新后继续。', 'The access token died early, since another party refreshed it; the bridge gets a new one and goes on.'],
  ['login:slow-3s', 'ok', '微信 3 秒后才回答，在默认超时 5 秒之内。', 'WeChat answers 3 s late, within the default time-out of 5 s.'],
].map(([user, comes, zh, en]) => ({ user, comes, why: [zh, en] }))
