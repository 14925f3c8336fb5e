// Calls the methods of authing-wxapp-sdk that standard input names, in order:
//
//	{"options": of the client, "image": path, "calls": [[method, argument, …], …]}
//
// and writes a line of JSON for each: {"value"} or {"error"}, and the token that
// the SDK has stored then.
'use strict'
const fs = require('fs')
require('./wx')
const { AuthenticationClient } = require('authing-wxapp-sdk')

const main = async () => {
  const { options, image, calls } = JSON.parse(fs.readFileSync(0, 'utf8'))
  wx.image = image
  const client = new AuthenticationClient({ ...options, onError: () => {} })
  for (const [method, ...args] of calls) {
    const line = {}
    try {
      line.value = (await client[method](...args)) ?? null
    } catch (err) {
      line.error = err instanceof Error ? err.message : err
    }
    line.token = wx.getStorageSync('_authing_token') || ''
    process.stdout.write(JSON.stringify(line) + '\n')
  }
}
main()
