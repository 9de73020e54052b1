// How the daemon is asked: its API, with the cookie of who signed in.

/** Why a request is not done, in the words of the daemon. */
export class Refused extends Error {
  constructor(status, words) {
    super(words)
    this.status = status
  }
}

/** Who hears that nobody is signed in any more. */
export const door = { close() {} }

async function refusal(answer) {
  let words = answer.status + ' ' + answer.statusText
  try {
    words = (await answer.json()).error ?? words
  } catch { /* it has no words of its own */ }
  return new Refused(answer.status, words)
}

/** The answer to a request, as it comes. */
export async function raw(method, path, body, signal) {
  const options = { method, headers: {}, signal, cache: 'no-store', credentials: 'same-origin' }
  if (body !== undefined) {
    options.headers['content-type'] = 'application/json'
    options.body = JSON.stringify(body)
  }
  let answer
  try {
    answer = await fetch(path, options)
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new Refused(0, 'the daemon does not answer')
  }
  if (answer.status === 401) door.close()
  if (!answer.ok) throw await refusal(answer)
  return answer
}

/** What the API answers. */
export async function ask(method, path, body, signal) {
  return (await raw(method, 'api/v1' + path, body, signal)).json()
}

export const get = (path, signal) => ask('GET', path, undefined, signal)

/** Signs in with a token. */
export const signIn = token => raw('POST', 'page/session', { token })

/** Signs out. */
export const signOut = () => raw('DELETE', 'page/session')

/** Does `work` for each, six at a time; the refusals, each with what it was of. */
export async function each(things, work) {
  const rest = things.slice().reverse()
  const refused = []
  const one = async () => {
    while (rest.length > 0) {
      const thing = rest.pop()
      try {
        await work(thing)
      } catch (error) {
        refused.push([thing, error.message])
        // Who is out would be refused each of the others, too.
        if (error.status === 401) refused.push(...rest.splice(0).map(it => [it, error.message]))
      }
    }
  }
  await Promise.all(Array.from({ length: 6 }, one))
  return refused
}
