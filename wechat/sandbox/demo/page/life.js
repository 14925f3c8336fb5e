// A ticket's life as the page shows it: a ring in the app, a chip at the
// server. It runs by expiresIn and the browser's own clock, since the server's
// clock may be another.

import { $ } from './dom.js'
import { say } from './i18n.js'

let life // {from, seconds} in the browser's clock while a ticket runs down
let shown

// startLife begins a ticket's life, which began when its request was sent or
// later: the ring is never longer than the truth.
export function startLife(seconds, from) {
  life = { from, seconds }
  chip('live')
  tick()
}

// endLife says what became of the ticket: none or redeemed.
export function endLife(what) {
  life = undefined
  $('over').hidden = true
  chip(what)
}

function tick() {
  if (!life) return
  const left = Math.max(0, life.seconds - (performance.now() - life.from) / 1000)
  $('ring').setAttribute('stroke-dashoffset', 100 - 100 * left / life.seconds)
  $('ring').classList.toggle('low', left < life.seconds / 6)
  const n = Math.ceil(left)
  if (shown !== n) say($('left'), 'app.seconds', { n: shown = n })
  if (left > 0) return
  life = undefined
  shown = undefined
  $('over').hidden = false
  chip('over')
}

function chip(what) {
  $('ticket').dataset.is = what
  say($('ticket'), `ticket.${what}`)
}

setInterval(tick, 200)
