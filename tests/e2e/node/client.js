// The hands of the grpc-js client: reads one JSON command a line, answers one JSON line each.
//   {id, op: "call", method: "BrokerService.Acquire", request: {...}, timeout_ms}
//   {id, op: "health"} {id, op: "watch"} {id, op: "services"}
//   {id, op: "models", count, in_flight}: Acquire calls, each with another model name
// Started as: node client.js TARGET PROTO_FOLDER
'use strict';
const path = require('path');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');
const health = require('grpc-health-check');
const reflection = require('grpc-js-reflection-client');

const [target, protos] = process.argv.slice(2);
const credentials = grpc.credentials.createInsecure();
const definition = loader.loadSync(['broker', 'admin'].map((name) => `credbroker/v1/${name}.proto`), {
  includeDirs: [protos],
  longs: String,
  enums: String,
  bytes: String,
  defaults: false,
});
const services = grpc.loadPackageDefinition(definition).credbroker.v1;
const clients = {
  BrokerService: new services.BrokerService(target, credentials),
  AdminService: new services.AdminService(target, credentials),
};
const HealthClient = grpc.makeGenericClientConstructor(health.service, 'Health');
const healthClient = new HealthClient(target, credentials);
const rpcTypes = protobuf.loadSync(
  ['status', 'error_details'].map((name) => path.join(protos, 'google/rpc', `${name}.proto`)));

function details(error) {
  const out = {};
  const raw = error.metadata && error.metadata.get('grpc-status-details-bin')[0];
  if (!raw) return out;
  const status = rpcTypes.lookupType('google.rpc.Status').decode(raw);
  for (const any of status.details) {
    const name = any.type_url.split('/').pop();
    const type = rpcTypes.lookupType(name);
    out[name] = type.toObject(type.decode(any.value), {longs: String});
  }
  return out;
}

const failure = (error) => ({
  error: {
    code: grpc.status[error.code],
    message: error.details || String(error),
    details: details(error),
  },
});

function call({method, request, timeout_ms: timeout}) {
  const [service, name] = method.split('.');
  const options = timeout ? {deadline: Date.now() + timeout} : {};
  return new Promise((done) => {
    clients[service][name](request, options, (error, response) =>
      done(error ? failure(error) : {response}));
  });
}

const oneHealth = () => new Promise((done) => {
  healthClient.check({service: ''}, (error, response) =>
    done(error ? failure(error) : {response: response.status}));
});

// The first status a watch tells.
const watch = () => new Promise((done) => {
  const stream = healthClient.watch({service: ''});
  stream.on('data', (response) => {
    done({response: response.status});
    stream.cancel();
  });
  stream.on('error', (error) => done(failure(error)));
});

async function listServices() {
  const client = new reflection.GrpcReflection(target, credentials);
  return {response: await client.listServices()};
}

async function models({count, in_flight: width}) {
  const codes = {};
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const request = {providers: ['churn'], model: `invented-${next++}`};
      const answer = await call({method: 'BrokerService.Acquire', request, timeout_ms: 60000});
      const code = answer.error ? answer.error.code : 'OK';
      codes[code] = (codes[code] || 0) + 1;
      if (!answer.error) {
        await call({method: 'BrokerService.Release', request: {leaseId: answer.response.leaseId}});
      }
    }
  };
  await Promise.all(Array.from({length: width}, lane));
  return {response: codes};
}

const ops = {call, health: oneHealth, watch, services: listServices, models};
readline.createInterface({input: process.stdin}).on('line', async (line) => {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = await ops[command.op](command);
  } catch (error) {
    answer = failure(error);
  }
  process.stdout.write(`${JSON.stringify({id: command.id, ...answer})}\n`);
}).on('close', () => process.exit(0));
