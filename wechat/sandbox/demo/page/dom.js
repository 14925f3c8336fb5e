// What every part of the page does to it.

import { say, text } from './i18n.js'

export const $ = id => document.getElementById(id)

// make returns a new element with these properties and children.
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties)
  element.append(...children)
  return element
}

// label returns a new element with a text that follows the language.
export function label(tag, key, args) {
  const element = document.createElement(tag)
  say(element, key, args)
  return element
}

// show shows one view of a device in place of its others.
export function show(id) {
  const view = $(id)
  for (const other of view.parentElement.querySelectorAll(':scope > .view')) other.hidden = other !== view
  view.parentElement.scrollTop = 0
}

// turn shows a view, marks its device as the one to look at, and moves the
// focus there, so that keyboard and screen reader follow.
export function turn(id) {
  show(id)
  mark($(id).closest('.device'))
  $(id).querySelector('h3').focus({ preventScroll: true })
  if (matchMedia('(max-width: 1023px)').matches) {
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches
    $(id).closest('.device').scrollIntoView({ behavior: still ? 'auto' : 'smooth' })
  }
}

// mark marks the device where the next tap is expected.
export function mark(device) {
  for (const d of document.querySelectorAll('.device')) d.classList.toggle('active', d === device)
}

// list fills a <dl> with names and values.
export function list(id, pairs) {
  $(id).replaceChildren(...Object.entries(pairs).flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, String(value))]))
}

export const pretty = value => JSON.stringify(value, null, 2)

// problem returns a card with what was answered instead of success.
export function problem({ status, json, body }) {
  const card = make('div', { className: 'problem' })
  const rows = { HTTP: status || text('log.silent') }
  if (json?.code !== undefined) {
    card.append(make('p', { className: 'message' }, json.message))
    Object.assign(rows, { code: json.code }, json.error && { error: json.error }, json.requestId && { requestId: json.requestId })
  } else {
    card.append(make('p', { className: 'message' }, body || text('log.silent')))
  }
  card.append(make('dl', { className: 'pairs' }, ...Object.entries(rows).flatMap(([name, value]) =>
    [make('dt', {}, name), make('dd', { className: name }, String(value))])))
  return card
}

// copyButton returns a button that copies what get returns.
export function copyButton(get) {
  const button = label('button', 'copy')
  Object.assign(button, { type: 'button', className: 'tiny' })
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(get())
    say(button, 'copied')
    setTimeout(() => say(button, 'copy'), 1500)
  })
  return button
}
