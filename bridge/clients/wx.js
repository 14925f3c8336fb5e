// The parts of a mini program's wx that authing-wxapp-sdk calls, over Node. To
// be loaded before the SDK, whose HTTP client asks which platform it is on.
'use strict'
const fs = require('fs')
const path = require('path')

Object.defineProperty(process, Symbol.toStringTag, { value: 'mini program' })

const storage = new Map()

// wx parses what looks like JSON, and hands on everything else as text.
const parsed = (text) => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const answer = async (res) => ({ statusCode: res.status, header: Object.fromEntries(res.headers), text: await res.text() })

globalThis.wx = {
  image: '', // what chooseImage gives

  request({ url, method, data, header, success, fail }) {
    fetch(url, { method, headers: header, body: method === 'GET' ? undefined : data })
      .then(answer)
      .then(({ text, ...res }) => success({ ...res, data: parsed(text) }), fail)
  },
  uploadFile({ url, name, filePath, success, fail }) {
    const form = new FormData()
    form.append(name, new Blob([fs.readFileSync(filePath)]), path.basename(filePath))
    fetch(url, { method: 'POST', body: form })
      .then(answer)
      .then(({ text, ...res }) => success({ ...res, data: text }), fail)
  },
  async chooseImage() {
    return { tempFilePaths: [this.image] }
  },

  getStorageSync: (key) => (storage.has(key) ? storage.get(key) : ''),
  setStorageSync: (key, value) => void storage.set(key, value),
  removeStorageSync: (key) => void storage.delete(key),
  getSystemInfoSync: () => ({ platform: 'devtools', SDKVersion: '3.0.0' }),
}
