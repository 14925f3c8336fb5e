// The native app, and the start of the page.

import { $, label, list, mark, pretty, problem, show, turn } from './dom.js'
import { language, say, setLanguage, startLanguage } from './i18n.js'
import { startLife } from './life.js'
import { newMini } from './mini.js'
import { launchPath, newAttempt, parsePairs } from './protocol.js'
import { newServer } from './server.js'
import { note, startTimeline } from './timeline.js'

// newApp is the app on its phone. It returns receive, which is OpenSDK's
// handing over of WXLaunchMiniProgramResp.extMsg.
function newApp(info, mini, server) {
  const restarts = document.querySelectorAll('[data-restart]')
  let attempt // from launch to reply; the reply that fits uses it up
  let reply // {ticket, …} of the attempt that is being redeemed

  async function login() {
    attempt = await newAttempt()
    const path = launchPath(info.poolId, attempt)
    list('kept', { code_verifier: attempt.verifier, state: attempt.state })
    $('path').textContent = path
    show('app-waiting')
    note('app', 'wechat', 'log.launch', path)
    mini.launch(path)
  }

  function receive(extMsg) {
    const pairs = parsePairs(extMsg)
    const mine = attempt
    const fits = mine !== undefined && pairs.state === mine.state
    if (fits) attempt = undefined
    if (!fits || pairs.code !== '200') {
      $('refused-msg').textContent = extMsg
      list('refused-pairs', pairs)
      verdict('state-refused', fits)
      return turn('app-refused')
    }
    reply = { ticket: pairs.ticket, verifier: mine.verifier, idempotencyKey: mine.idempotencyKey }
    $('ext-msg').textContent = extMsg
    list('parsed', pairs)
    verdict('state-good', fits)
    $('redeem-problem').replaceChildren()
    turn('app-reply')
  }

  async function redeem() {
    const byServer = $('by-server').checked
    const request = { ticket: reply.ticket, verifier: reply.verifier, byServer, key: $('idempotent').checked ? reply.idempotencyKey : '' }
    if (byServer) note('app', 'server', 'log.pass', pretty({ ticket: reply.ticket, code_verifier: reply.verifier }))
    busy(true)
    const answer = await server.redeem(request)
    busy(false)
    if (!answer.user) {
      const hint = label('p', 'app.unused')
      hint.className = 'hint'
      $('redeem-problem').replaceChildren(problem(answer), hint)
      return $('redeem-problem').scrollIntoView({ block: 'nearest' })
    }
    const { nickname, phone, id, unionid, openid, loginsCount, lastLogin, tokenExpiredAt } = answer.user
    $('avatar').textContent = [...nickname][0] ?? ''
    $('nickname').textContent = nickname
    list('profile', { phone, id, unionid, openid, loginsCount, lastLogin, tokenExpiredAt })
    $('profile-json').textContent = pretty(answer.user)
    turn('app-done')
    mark($('server'))
  }

  function busy(is) {
    for (const button of [$('redeem'), ...restarts]) button.disabled = is
    say($('redeem'), is ? 'app.redeeming' : 'app.redeem')
  }

  function verdict(id, fits) {
    $(id).className = `verdict ${fits ? 'good' : 'bad'}`
    say($(id), fits ? 'app.stateGood' : 'app.stateBad')
  }

  function restart() {
    attempt = reply = undefined
    mini.close()
    server.forget()
    turn('app-start')
  }

  $('login').addEventListener('click', login)
  $('redeem').addEventListener('click', redeem)
  for (const button of restarts) button.addEventListener('click', restart)
  return { receive }
}

function startLanguages() {
  const buttons = document.querySelectorAll('[data-language]')
  document.addEventListener('languagechange', () => {
    for (const b of buttons) b.setAttribute('aria-pressed', b.dataset.language === language())
  })
  for (const b of buttons) b.addEventListener('click', () => setLanguage(b.dataset.language))
  startLanguage()
}

function trouble(key) {
  $('trouble').hidden = false
  say($('trouble'), key)
  $('login').disabled = true
}

async function start() {
  startLanguages()
  startTimeline()
  if (!crypto.subtle) return trouble('insecure')
  let info
  try {
    info = await (await fetch('info.json')).json()
  } catch {
    return trouble('broken')
  }
  const server = newServer(info)
  server.forget()
  const mini = newMini(info, { issued: startLife, returned: extMsg => app.receive(extMsg) })
  const app = newApp(info, mini, server)
  mark($('app'))
}

start()
