// run.mjs plays a client's whole life by openid-client and jose: discovery,
// ticket grant, id_token, userinfo, introspection, refresh, reuse, revocation,
// logout. Its only argument is a JSON object; what it saw is printed as one.
import * as client from 'openid-client'
import * as jose from 'jose'

const { issuer, id, secret, tickets, auth, algorithm, alg } = JSON.parse(process.argv[2])
const methods = { basic: client.ClientSecretBasic, post: client.ClientSecretPost }
const seen = {}

const config = await client.discovery(new URL(issuer), id, secret, methods[auth](secret), {
  algorithm,
  execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
})
const { jwks_uri: jwks } = config.serverMetadata()
const keys = jose.createRemoteJWKSet(new URL(jwks))

async function signIn(ticket) {
  return await client.genericGrantRequest(config, 'urn:app2wxapp:grant-type:ticket', { ticket, scope: 'openid profile phone' })
}

// refused returns how a call was refused.
async function refused(call) {
  try {
    await call()
    return 'not refused'
  } catch (err) {
    return err.error ?? err.code ?? String(err)
  }
}

const first = await signIn(tickets[0])
seen.claims = first.claims()
seen.expiresIn = first.expires_in
seen.again = await refused(() => signIn(tickets[0]))

const second = await signIn(tickets[1])
const access = await jose.jwtVerify(second.access_token, keys, { issuer, audience: id, typ: 'at+jwt', algorithms: [alg] })
seen.access = access.payload
const idToken = await jose.jwtVerify(second.id_token, keys, { issuer, audience: id, typ: 'JWT', algorithms: [alg] })
seen.sameUser = idToken.payload.sub === access.payload.sub && access.payload.sub === first.claims().sub
seen.wrongAudience = await refused(() => jose.jwtVerify(second.access_token, keys, { issuer, audience: 'other' }))
seen.userInfo = await client.fetchUserInfo(config, second.access_token, second.claims().sub)
seen.introspection = await client.tokenIntrospection(config, second.access_token)

const third = await client.refreshTokenGrant(config, second.refresh_token)
seen.refreshed = third.claims().sub
seen.active = (await client.tokenIntrospection(config, third.refresh_token)).active
seen.reused = await refused(() => client.refreshTokenGrant(config, second.refresh_token))
seen.afterReuse = (await client.tokenIntrospection(config, third.access_token)).active

const fourth = await signIn(tickets[2])
await client.tokenRevocation(config, fourth.refresh_token)
seen.afterRevocation = (await client.tokenIntrospection(config, fourth.access_token)).active
seen.userInfoAfterRevocation = await refused(() => client.fetchUserInfo(config, fourth.access_token, fourth.claims().sub))

const fifth = await signIn(tickets[3])
const logout = await fetch(client.buildEndSessionUrl(config, { id_token_hint: fifth.id_token }))
seen.logout = logout.status
seen.afterLogout = (await client.tokenIntrospection(config, fifth.access_token)).active

console.log(JSON.stringify(seen))
