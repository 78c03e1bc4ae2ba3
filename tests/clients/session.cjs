// What the programs beside this file share. Each runs one scenario with an official client, at the address in its
// arguments, and prints what came of it as JSON. It is run as: node PROGRAM SCENARIO ADDRESS KEY
"use strict";

const dns = require("node:dns");
const { createRequire } = require("node:module");

// A client that would call its vendor fails here: this machine is given by number, and any name is refused.
dns.lookup = (host, options, done) => (done ?? options)(new Error(`a call to ${host}`));

const installed = createRequire(`${process.env.CLIENTS}/`);

/** The error of a client, as its users see it. */
function shown(error) {
  const { name, message, status, body, cause } = error;
  return { name, message, status, body, cause: cause && String(cause), error: error.error };
}

async function session(scenarios) {
  const [scenario, address, key] = process.argv.slice(2);
  let told;
  try {
    told = { result: await scenarios[scenario](address, key) };
  } catch (error) {
    told = { failed: shown(error) };
  }
  process.stdout.write(JSON.stringify(told), () => process.exit(0));
}

module.exports = { installed, session, shown };
