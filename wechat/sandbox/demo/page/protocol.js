// What app and mini program say to each other. Nothing here touches the page.

const base64url = bytes => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const random = size => base64url(crypto.getRandomValues(new Uint8Array(size)))

// newAttempt returns what an app makes before it opens WeChat: a verifier and
// its S256 challenge (RFC 7636), and a state of 128 bits. The Idempotency-Key
// belongs to the one redemption that the attempt will lead to.
export async function newAttempt() {
  const verifier = random(32)
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  return { verifier, challenge: base64url(new Uint8Array(digest)), state: random(16), idempotencyKey: crypto.randomUUID() }
}

// launchPath returns the path of WXLaunchMiniProgramReq. Devices do not decode
// its values, so they need no escaping.
export function launchPath(poolId, { challenge, state }) {
  return `/routes/explore?userPoolId=${poolId}&getPhone=1&fromApp=1&useSelfWxapp=0` +
    `&code_challenge=${challenge}&code_challenge_method=S256&state=${state}`
}

// launchQuery returns what the mini program is told of a launch path.
export const launchQuery = path => parsePairs(path.slice(path.indexOf('?') + 1))

// refusal returns an app-parameter that the mini program makes itself. Its
// message is fixed: nothing that a user typed may reach the app.
export const refusal = (code, message, state) => `code=${code}&message=${message}&state=${state}`

// parsePairs reads a string as apps read extMsg: it is split on "&", each part
// at its first "=", and a value is decoded where that succeeds.
export function parsePairs(text) {
  const pairs = {}
  for (const part of text.split('&')) {
    const at = part.indexOf('=')
    if (at < 0) continue
    const value = part.slice(at + 1)
    try {
      pairs[part.slice(0, at)] = decodeURIComponent(value)
    } catch {
      pairs[part.slice(0, at)] = value
    }
  }
  return pairs
}

// decodeToken returns header and payload of a JWT. It verifies nothing: that is
// what the bridge is asked for.
export function decodeToken(token) {
  const [header, payload] = token.split('.').slice(0, 2).map(part => {
    const binary = atob(part.replaceAll('-', '+').replaceAll('_', '/'))
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, c => c.charCodeAt(0))))
  })
  return { header, payload }
}

// curl returns the request as a command for a POSIX shell.
export function curl(url, method, headers, body) {
  const quote = text => `'${text.replaceAll("'", `'\\''`)}'`
  const lines = [`curl ${method === 'GET' || body !== undefined ? '' : `-X ${method} `}${quote(url)}`]
  for (const [name, value] of Object.entries(headers)) lines.push(`  -H ${quote(`${name}: ${value}`)}`)
  if (body !== undefined) lines.push(`  -d ${quote(body)}`)
  return lines.join(' \\\n')
}
