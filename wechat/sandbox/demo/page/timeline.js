// The timeline, and the calls that it shows.

import { $, copyButton, label, make, pretty } from './dom.js'
import { language, say } from './i18n.js'
import { curl } from './protocol.js'

let opened = false // new events show their details

export function startTimeline() {
  $('log-open').addEventListener('click', () => {
    opened = !opened
    say($('log-open'), opened ? 'log.close' : 'log.open')
    for (const d of $('log').querySelectorAll('details')) d.open = opened
  })
  $('log-clear').addEventListener('click', () => {
    $('log').replaceChildren()
    $('log-empty').hidden = false
  })
}

// note adds what one party hands another without HTTP. The parties are app,
// wechat, mini, server or bridge.
export function note(from, to, what, detail) {
  add({ from, to, what }, [block('log.content', detail)])
}

// call makes a request and adds it, with its answer, to the timeline. It never
// throws: status 0 is no answer. base is what the curl line has before path.
export async function call({ from, to, what, base, path, method = 'POST', headers = {}, body }) {
  headers = { ...headers, 'Accept-Language': language() }
  if (body !== undefined) {
    headers['Content-Type'] = 'application/json'
    body = JSON.stringify(body)
  }
  const answer = { status: 0, body: '', json: undefined }
  const start = performance.now()
  let requestId = ''
  try {
    const response = await fetch(path, { method, headers, body, cache: 'no-store' })
    answer.body = await response.text()
    answer.status = response.status
    requestId = response.headers.get('X-Request-Id') ?? ''
    answer.json = JSON.parse(answer.body)
  } catch { /* no answer, or none in JSON */ }
  const took = performance.now() - start
  const shown = answer.json ? pretty(answer.json) : answer.body
  add({ from, to, what, route: `${method} ${path}`, status: answer.status, took }, [
    block('log.request', curl(base + path, method, headers, body)),
    block('log.answer', `HTTP ${answer.status || '–'}${requestId && `\nX-Request-Id: ${requestId}`}\n\n${shown}`),
  ])
  return answer
}

function add({ from, to, what, route, status, took }, blocks) {
  const now = new Date()
  const clock = `${now.toTimeString().slice(0, 8)}.${String(now.getMilliseconds()).padStart(3, '0')}`
  const summary = make('summary', {},
    make('time', { dateTime: now.toISOString() }, clock),
    make('span', { className: 'parties' }, party(from), ' → ', party(to)),
    make('span', { className: 'what' }, label('span', what), ...route ? [make('code', {}, route)] : []))
  if (status !== undefined) {
    const result = status ? make('span', {}, String(status)) : label('span', 'log.silent')
    result.className = `status ${status >= 200 && status < 300 ? 'good' : 'bad'}`
    summary.append(result, make('span', { className: 'took' }, `${took < 10 ? took.toFixed(1) : Math.round(took)} ms`))
  }
  $('log').append(make('li', {}, make('details', { open: opened }, summary, make('div', { className: 'blocks' }, ...blocks))))
  $('log-empty').hidden = true
}

function party(name) {
  const element = label('b', `who.${name}`)
  element.className = `party ${name}`
  return element
}

function block(key, content) {
  return make('div', { className: 'block' },
    make('div', { className: 'row' }, label('h3', key), copyButton(() => content)), make('pre', { tabIndex: 0 }, content))
}
