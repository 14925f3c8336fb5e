// The server: what the bridge checks, and what the app's server does with a
// token.

import { $, copyButton, label, make, pretty, problem } from './dom.js'
import { say } from './i18n.js'
import { endLife } from './life.js'
import { decodeToken } from './protocol.js'
import { call } from './timeline.js'

// Which of the checks stopped a redemption, by the error's code.
const stops = { 2224: 0, 4290: 1, 4010: 2, 4011: 2, 4001: 3, 2005: 4 }

export function newServer(info) {
  let first // the redemption that succeeded: {request, user}

  // redeem shows the bridge a ticket. A request is {ticket, verifier, byServer,
  // key}; the answer has the user, or null if the bridge refused.
  async function redeem(what, { ticket, verifier, byServer, key }) {
    const answer = await call({
      from: byServer ? 'server' : 'app', to: 'bridge', what, base: info.bridgeUrl, path: `/oauth/app2wxapp/auth/${info.poolId}`,
      headers: key ? { 'Idempotency-Key': key } : {},
      body: { ticket, code_verifier: verifier, ...byServer ? { secret: info.poolSecret } : {} },
    })
    answer.user = userOf(answer)
    drawChecks(answer.user ? 5 : stops[answer.json?.code])
    return answer
  }

  // check asks whether the first token holds; bad is what it means if not.
  async function check(bad) {
    const { json } = await call({ from: 'server', to: 'bridge', what: 'log.check', base: info.bridgeUrl, path: '/authing/token', method: 'GET',
      headers: { Authorization: `Bearer ${first.user.token}` } })
    $('checked').className = `verdict ${json?.status ? 'good' : 'bad'}`
    say($('checked'), !json ? 'log.silent' : json.status ? 'server.tokenGood' : bad)
  }

  async function repeat() {
    const { user } = await redeem('log.repeat', first.request)
    const same = user?.token === first.user.token
    $('again-result').replaceChildren(label('p', same ? 'server.sameAnswer' : 'server.otherAnswer'))
    await check('server.tokenBad')
  }

  async function again() {
    const answer = await redeem('log.again', { ...first.request, key: '' })
    $('again-result').replaceChildren(label('p', answer.user ? 'server.redeemedTwice' : 'server.refused'),
      ...answer.user ? [] : [problem(answer)])
    await check('server.tokenRevoked')
  }

  $('repeat').addEventListener('click', repeat)
  $('again').addEventListener('click', again)
  $('check').addEventListener('click', () => {
    $('again-result').replaceChildren()
    check('server.tokenBad')
  })
  drawFacts(info)

  return {
    // redeem redeems for the app, and keeps what succeeded.
    async redeem(request) {
      const answer = await redeem('log.redeem', request)
      if (answer.user) {
        first = { request, user: answer.user }
        endLife('redeemed')
        const { header, payload } = decodeToken(answer.user.token)
        $('token-header').textContent = pretty(header)
        $('token-payload').textContent = pretty(payload)
        $('repeat').disabled = !request.key
        $('no-key').hidden = Boolean(request.key)
        $('addresses').open = false
        $('token').hidden = false
      }
      return answer
    },
    // forget puts the server back to before the login.
    forget() {
      first = undefined
      endLife('none')
      drawChecks(undefined)
      $('token').hidden = true
      $('again-result').replaceChildren()
      delete $('checked').dataset.t
      $('checked').textContent = ''
    },
  }
}

// userOf returns the user of an answer to a redemption, null if there is none.
// A pool may be set to answer in an envelope, with the user as JSON text.
function userOf({ status, json }) {
  if (status !== 200 || !json) return null
  return 'data' in json ? JSON.parse(json.data) : json
}

// drawChecks shows that the checks before stop passed and the one at it did
// not; with undefined, none was made.
function drawChecks(stop) {
  Array.from($('checks').children).forEach((item, i) => {
    const result = stop === undefined || i > stop ? '' : i < stop ? 'pass' : 'stop'
    item.className = result
    const mark = item.querySelector('em')
    if (result) return say(mark, `check.${result}`)
    delete mark.dataset.t
    mark.textContent = ''
  })
}

function drawFacts(info) {
  const fact = (key, value, secret) => {
    const shown = make('code', {}, secret ? '••••••••' : value)
    const buttons = [copyButton(() => value)]
    if (secret) {
      const reveal = Object.assign(label('button', 'show'), { type: 'button', className: 'tiny' })
      let open = false
      reveal.addEventListener('click', () => {
        open = !open
        shown.textContent = open ? value : '••••••••'
        say(reveal, open ? 'hide' : 'show')
      })
      buttons.unshift(reveal)
    }
    return [label('dt', key), make('dd', {}, shown, make('span', { className: 'buttons' }, ...buttons))]
  }
  $('facts').replaceChildren(
    ...fact('server.bridge', info.bridgeUrl), ...fact('server.admin', info.adminUrl),
    ...fact('mini.pool', info.poolId), ...fact('server.appId', info.appId),
    ...fact('server.secret', info.poolSecret, true),
    ...info.adminToken ? fact('server.adminToken', info.adminToken, true) : [])
}
