// Calls the AWS SDK for JavaScript as lines of JSON ask; the environment says where the server is.
//
// A line in is one call: `id`, `operation`, `params`, and optionally `client` (how the client is
// made). A line out is its reply: `id`, and `result` or `error`. Calls run side by side.

const readline = require("node:readline");
const sdk = require("@aws-sdk/client-lightsail");

const clients = new Map();

function clientFor(options) {
  const key = JSON.stringify(options);
  if (!clients.has(key)) {
    clients.set(key, new sdk.LightsailClient(options));
  }
  return clients.get(key);
}

async function answer(call) {
  const client = clientFor(call.client ?? {});
  try {
    const result = await client.send(new sdk[`${call.operation}Command`](call.params));
    const isDate = (value) => value instanceof Date;
    const dates = (result.operations ?? []).every((one) => isDate(one.createdAt));
    return { result, dates };
  } catch (error) {
    return {
      error: {
        name: error.name,
        code: error.code,
        message: error.message,
        status: error.$metadata?.httpStatusCode,
        attempts: error.$metadata?.attempts,
        modelled: error instanceof sdk.LightsailServiceException,
        ofItsClass: sdk[error.name] !== undefined && error instanceof sdk[error.name],
      },
    };
  }
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const call = JSON.parse(line);
  const reply = await answer(call);
  process.stdout.write(JSON.stringify({ id: call.id, ...reply }) + "\n");
});
