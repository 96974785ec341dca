// A charge point on the npm library `ocpp-rpc`, unmodified, for the integration tests.
//
// Connects, boots, beats every second, answers commands, reconnects with backoff, and prints a JSON line for each thing
// that happens. Ends when its standard input does. Leaves out everything a real charger does with the power.
'use strict';

const { RPCClient } = require('ocpp-rpc');

const HEARTBEAT_MS = 1000;
const CALL_TIMEOUT_MS = 10_000;
const BACKOFF_FIRST_MS = 200;
const BACKOFF_CAP_MS = 2000;

const accepted = () => ({ status: 'Accepted' });

const status2 = () => ({
    timestamp: new Date().toISOString(),
    connectorStatus: 'Available',
    evseId: 1,
    connectorId: 1,
});

const answers2 = {
    RequestStartTransaction: accepted,
    RequestStopTransaction: accepted,
    Reset: accepted,
    TriggerMessage: accepted,
    GetVariables: ({ getVariableData }) => ({
        getVariableResult: getVariableData.map(({ component, variable }) => ({
            attributeStatus: 'Accepted', attributeValue: '1', component, variable,
        })),
    }),
    SetVariables: ({ setVariableData }) => ({
        setVariableResult: setVariableData.map(({ component, variable }) => ({
            attributeStatus: 'Accepted', component, variable,
        })),
    }),
};

const boot2 = { reason: 'PowerUp', chargingStation: { vendorName: 'Foreign', model: 'Node' } };

// The library validates against the published schemas where it is strict; of 2.1 it has none that it can use.
const versions = {
    '1.6': {
        subprotocol: 'ocpp1.6',
        strict: true,
        boot: { chargePointVendor: 'Foreign', chargePointModel: 'Node' },
        status: () => ({ connectorId: 1, errorCode: 'NoError', status: 'Available' }),
        answers: {
            RemoteStartTransaction: accepted,
            RemoteStopTransaction: accepted,
            Reset: accepted,
            ChangeConfiguration: accepted,
            GetConfiguration: () => ({
                configurationKey: [{ key: 'HeartbeatInterval', readonly: false, value: '1' }],
            }),
            UnlockConnector: () => ({ status: 'Unlocked' }),
            TriggerMessage: accepted,
        },
    },
    '2.0.1': { subprotocol: 'ocpp2.0.1', strict: true, boot: boot2, status: status2, answers: answers2 },
    '2.1': { subprotocol: 'ocpp2.1', strict: false, boot: boot2, status: status2, answers: answers2 },
};

// Prints one thing that happened, as one line.
function emit(event, fields = {}) {
    process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Calls and returns the answer, or reports why there is none.
async function call(client, action, payload) {
    try {
        return await client.call(action, payload, { callTimeoutMs: CALL_TIMEOUT_MS });
    } catch (error) {
        emit('call_failed', { action, reason: `${error.name}: ${error.message}` });
        return null;
    }
}

// One BootNotification; waits as told if it is not accepted.
async function boot(client, version) {
    const answer = await call(client, 'BootNotification', version.boot);
    if (answer?.status === 'Accepted') {
        emit('boot_accepted', { interval: answer.interval });
        return true;
    }
    if (answer) {
        emit(`boot_${answer.status.toLowerCase()}`, { interval: answer.interval });
    }
    await sleep(answer?.interval ? Math.min(answer.interval * 1000, 5000) : HEARTBEAT_MS);
    return false;
}

// What the charger says by itself: boots once in its life, a status on each connection, heartbeats.
async function talk(client, version, life) {
    while (!life.ended) {
        if (!life.open) {
            await sleep(50);
        } else if (!life.booted) {
            life.booted = await boot(client, version);
        } else if (!life.notified) {
            life.notified = true;
            if (await call(client, 'StatusNotification', version.status())) {
                emit('status_notified');
            }
        } else {
            const answer = await call(client, 'Heartbeat', {});
            if (answer) {
                emit('heartbeat', { current_time: answer.currentTime });
            }
            await sleep(HEARTBEAT_MS);
        }
    }
}

// Keeps the connection: the library reconnects by itself, but not before the first time it connected, and not after it
// gave up, as it does when a server offers no subprotocol.
async function stayConnected(client, life) {
    let backoff = BACKOFF_FIRST_MS;
    while (!life.ended) {
        const closed = new Promise((resolve) => client.once('close', resolve));
        try {
            await client.connect();
            backoff = BACKOFF_FIRST_MS;
            await closed;
        } catch (error) {
            emit('disconnected', { reason: `${error.name}: ${error.message}` });
        }
        await sleep(backoff * (0.5 + Math.random() / 2));
        backoff = Math.min(backoff * 2, BACKOFF_CAP_MS);
    }
}

// The library's client with the answers of this version.
function charger(url, identity, version) {
    const client = new RPCClient({
        endpoint: url.replace(/\/+$/, ''),
        identity,
        protocols: [version.subprotocol],
        strictMode: version.strict,
        callConcurrency: 1,
        pingIntervalMs: 5000,
        backoff: { initialDelay: BACKOFF_FIRST_MS, maxDelay: BACKOFF_CAP_MS, factor: 2, randomisationFactor: 0.25 },
    });
    for (const [action, answer] of Object.entries(version.answers)) {
        client.handle(action, ({ messageId, params }) => {
            emit('command', { action, message_id: messageId, payload: params });
            return answer(params);
        });
    }
    return client;
}

// Reads `--name value` pairs.
function parse(argv) {
    const args = {};
    for (let index = 0; index < argv.length; index += 2) {
        args[argv[index].replace(/^--/, '')] = argv[index + 1];
    }
    if (!args.url || !args.id || !versions[args.version]) {
        process.stderr.write('usage: charger.js --url ws://HOST:PORT/ --id IDENTITY --version 1.6|2.0.1|2.1\n');
        process.exit(2);
    }
    return args;
}

async function main() {
    const args = parse(process.argv.slice(2));
    const version = versions[args.version];
    const client = charger(args.url, args.id, version);
    const life = { ended: false, open: false, booted: false, notified: false };

    client.on('open', () => {
        life.open = true;
        life.notified = false;
        emit('connected', { subprotocol: client.protocol });
    });
    client.on('disconnect', ({ code, reason }) => {
        life.open = false;
        emit('disconnected', { reason: `${code} ${reason}` });
    });
    client.on('strictValidationFailure', ({ method, error }) => {
        emit('validation_failed', { action: method, reason: error.message });
    });

    process.stdin.resume();
    process.stdin.once('end', () => {
        life.ended = true;
        emit('stopped');
        client.close({ force: true }).catch(() => {});
        // What is on its way to standard output is written before the program ends.
        process.stdout.write('', () => process.exit(0));
    });

    await Promise.all([stayConnected(client, life), talk(client, version, life)]);
}

main().catch((error) => {
    process.stderr.write(`${error.stack}\n`);
    process.exit(1);
});
