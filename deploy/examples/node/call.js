// One upstream call with a leased credential.   node call.js BROKER PROVIDER MODEL URL
// npm install @grpc/grpc-js @grpc/proto-loader
'use strict';
const path = require('path');
const {promisify} = require('util');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const protos = path.join(__dirname, '../../../proto');
const definition = loader.loadSync('credbroker/v1/broker.proto', {includeDirs: [protos], enums: String});
const {BrokerService} = grpc.loadPackageDefinition(definition).credbroker.v1;

async function main([target, provider, model, url]) {
  const broker = new BrokerService(target, grpc.credentials.createInsecure());
  const acquire = promisify(broker.acquire).bind(broker);
  const report = promisify(broker.report).bind(broker);

  const grant = await acquire({providers: [provider], model, maxWait: {seconds: 5}});
  const outcome = {leaseId: grant.leaseId};
  try {
    const headers = Object.fromEntries(grant.requestHeaders.map(({name, value}) => [name, value.toString()]));
    const answer = await fetch(url, {headers});
    await answer.text();
    outcome.httpStatus = answer.status;
    outcome.headers = [...answer.headers].map(([name, value]) => ({name, value: Buffer.from(value)}));
  } catch {
    outcome.outcome = 'OUTCOME_NETWORK_ERROR';
  }
  const {results: [result]} = await report({items: [outcome]});

  console.log(grant.credentialId, outcome.httpStatus || 'no answer', result.advice);
  broker.close();
}

main(process.argv.slice(2));
