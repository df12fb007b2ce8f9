"""Sidecars and brokers that are killed, stopped and cut off under load: caps hold, slots come back,
nothing stale is handed out."""
import collections
import os
import signal
import threading
import time

import cases
import clients
import fixture
import load as load_module
import relay as relay_module
import sidecar as sidecar_module
import web
from broker import until
from sidecar import SESSION_GRACE, SESSION_TTL
from upstream import Answer

SIZE = os.environ.get('CREDBROKER_TEST_SIZE', 'ci')
# From the last a broker heard of a session until its slots are others': and the ticker's step.
FREED_WITHIN = SESSION_TTL + SESSION_GRACE + 1.0
# A client that lost its broker tries first within so long, by chance; a burst of tries is so short.
FIRST_WAIT, BURST = 0.5, 0.05


def in_size(ci, full):
    return ci if SIZE == 'ci' else full


class Caps(fixture.SidecarCase):
    CAPS = (1, 2, 5)

    def make(self, cap):
        """Two credentials of a provider for this cap: the provider and their names."""
        self.setUp()
        for name in ('a', 'b'):
            self.call('AdminService.CreateCredential',
                      secret={'apiKey': cases.secret(f'{self.provider}-{name}')},
                      credential={'id': self.name(name), 'provider': self.provider,
                                  'maxInFlight': cap})
        return self.provider, [self.name('a'), self.name('b')]

    def names_in_flight(self, names):
        return sum(self.call('AdminService.GetCredential', id=name)['status'].get('inFlight', 0)
                   for name in names)

    def test_a_killed_sidecar_gives_no_slot_away_twice_and_none_for_ever(self):
        made = {cap: self.make(cap) for cap in self.CAPS}
        names = [name for _, group in made.values() for name in group]
        self.upstream.answer(None, Answer(delay=0.05))
        other = self.enter(sidecar_module.Sidecar(self.broker, self.configuration()))
        callers = [(sidecar, f'/{provider}/v1') for sidecar in (self.sidecar, other)
                   for cap, (provider, _) in made.items() for _ in range(cap + 1)]
        rounds = in_size(1, 10)
        with load_module.Load(self.upstream, callers) as load, \
                load_module.InFlight(lambda: self.client, names) as seen:
            for _ in range(rounds):
                time.sleep(1.0)
                self.sidecar.kill()
                killed = time.monotonic()
                time.sleep(0.3)
                self.sidecar.start()
                time.sleep(1.0)
            until('its slots are used again', lambda: time.monotonic() - killed > FREED_WITHIN, 10)
            before_end = time.monotonic()
            time.sleep(0.7)
        served = load.statuses()
        print(f'        {rounds} kills of a sidecar, {len(load.calls)} calls, '
              f'statuses {dict(served)}, '
              f'reports {dict(load.dispositions)}, in flight sampled {seen.samples} times')
        for cap, (provider, group) in made.items():
            tokens = [f'{provider}-{name}' for name in ('a', 'b')]
            most = [self.upstream.most[token] for token in tokens]
            known = [seen.most[name] for name in group]
            print(f'        cap {cap}: at once upstream {most}, in flight by the broker {known}')
            self.assertLessEqual(max(most + known), cap)
            self.assertEqual(max(most), cap)    # the load was enough to tell
            # All slots are there again: all of them can be had at once, and no more.
            until('exact again', lambda group=group: self.names_in_flight(group) == 0, FREED_WITHIN)
            held = [other.lease(f'/{provider}/v1') for _ in range(2 * cap + 1)]
            self.assertEqual([each.status for each in held], [204] * (2 * cap) + [429])
            for each in held[:-1]:
                other.report({'lease': each.headers['x-credbroker-lease'], 'status': 200})
        self.assertGreater(load.statuses(before_end)[204], 0)

    def test_a_killed_sidecars_slots_are_anothers_after_ttl_and_grace_not_before(self):
        provider, names = self.make(1)
        other = self.enter(sidecar_module.Sidecar(self.broker, self.configuration()))
        path = f'/{provider}/v1'
        held = [self.sidecar.lease(path) for _ in range(2)]
        self.assertEqual([each.status for each in held], [204, 204])
        self.assertEqual(other.lease(path).status, 429)
        self.sidecar.kill()
        killed = time.monotonic()
        until('free', lambda: other.lease(path).status == 204, FREED_WITHIN + 1)
        took = time.monotonic() - killed
        print(f'        freed {took:.2f} s after kill -9 (ttl + grace = '
              f'{SESSION_TTL + SESSION_GRACE} s)')
        # It was last heard of up to one ping before it was killed.
        self.assertGreater(took, SESSION_TTL + SESSION_GRACE - 0.5)
        self.assertLess(took, FREED_WITHIN + 0.5)
        self.assertLessEqual(self.names_in_flight(names), 2)
        self.sidecar.start()
        other.stop()


class Stopped(fixture.SidecarCase):
    routes_extra = {'timeout': '300ms'}

    def test_a_stopped_sidecar_loses_its_slots_and_wakes_with_nothing_stale(self):
        self.create('capped', maxInFlight=1, priority=1)
        self.create('stocked')
        other = self.enter(sidecar_module.Sidecar(self.broker, self.configuration()))
        capped = self.lease()
        self.assertEqual(capped.headers.get('authorization'), 'Bearer key-capped', capped)
        until('stock', lambda: self.lease().headers.get('authorization') == 'Bearer key-stocked' and
              self.sidecar.metrics()['credbroker_sidecar_stock_leases'] > 1)
        self.sidecar.freeze()
        stopped = time.monotonic()
        # Asked while it cannot answer: these lie in its socket when it wakes.
        waiting = []
        for _ in range(10):
            plug = web.connect(self.sidecar.http)
            plug.sendall(f'GET /lease HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
                         f'X-Original-URI: {self.path}\r\n\r\n'.encode())
            waiting.append(plug)
        until('the capped slot is free', lambda: self.in_flight('capped') == 0, FREED_WITHIN + 1)
        print(f'        cut and freed {time.monotonic() - stopped:.2f} s after SIGSTOP')
        until('the stock is back', lambda: self.in_flight('stocked') == 0, 2)
        self.assertEqual(other.lease(self.path).headers['authorization'], 'Bearer key-capped')
        self.call('AdminService.Disable', id=self.name('stocked'))
        self.sidecar.signal(signal.SIGCONT)
        answers = []
        for plug in waiting:
            data = b''
            while part := plug.recv(65536):
                data += part
            plug.close()
            answers.append(data)
        self.assertEqual([data for data in answers if b'key-' in data], [])
        print('        woken, it answered ' +
              str(sorted({data.split(b'\r\n')[0].decode() for data in answers})))
        # The lease of before is nobody's: its report moves nothing.
        self.sidecar.report({'lease': capped.headers['x-credbroker-lease'], 'status': 401})
        self.call('AdminService.Enable', id=self.name('stocked'))
        until('back', lambda: self.lease().status == 204, 10)
        self.assertEqual(self.in_flight('capped'), 1)


class Disable(fixture.SidecarCase):
    routes_extra = {'stock': 32}

    def test_it_waits_for_every_session_and_nothing_is_handed_out_after_it(self):
        for name in ('a', 'b'):
            self.create(name)
        others = [self.enter(sidecar_module.Sidecar(self.broker, self.configuration()))
                  for _ in range(in_size(2, 9))]
        all_of_them = [self.sidecar, *others]
        callers = [(each, self.path) for each in all_of_them for _ in range(2)]
        rounds, took, late = in_size(5, 50), [], 0
        for _ in range(rounds):
            with load_module.Load(self.upstream, callers) as load:
                until('key-a is in use', lambda: any(each.token == 'key-a' for each in load.calls))
                began = time.monotonic()
                self.call('AdminService.Disable', id=self.name('a'), wait=True)
                done = time.monotonic()
                took.append(done - began)
                until('key-b serves on', lambda done=done: any(
                    each.began > done and each.token == 'key-b' for each in load.calls))
            late += sum(1 for each in load.calls if each.began > done and each.token == 'key-a')
            self.call('AdminService.Enable', id=self.name('a'))
        took.sort()
        print(f'        {rounds} rounds with {len(all_of_them)} sidecars: handed out '
              f'after it {late}; '
              f'median {took[len(took) // 2] * 1e3:.1f} ms, longest {took[-1] * 1e3:.1f} ms')
        self.assertEqual(late, 0)

    def test_it_waits_for_a_stopped_one_until_that_is_lost(self):
        self.create('a')
        other = self.enter(sidecar_module.Sidecar(self.broker, self.configuration()))
        self.assertEqual(self.lease().status, 204)
        self.assertEqual(other.lease(self.path).status, 204)
        self.sidecar.freeze()
        began = time.monotonic()
        self.client.call('AdminService.Disable', {'id': self.name('a'), 'wait': True}, 20)
        took = time.monotonic() - began
        print(f'        with a stopped sidecar it answered after {took:.2f} s '
              f'(ttl {SESSION_TTL} s)')
        self.assertTrue(SESSION_TTL - 0.5 < took < FREED_WITHIN + 0.5, took)
        self.sidecar.signal(signal.SIGCONT)
        for _ in range(10):
            self.assertNotIn('authorization', self.lease().headers)


class BrokerRestart(fixture.SidecarCase):
    """The broker is killed and started again under load."""
    maxDiff = None
    SIDECARS = in_size(5, 50)

    @classmethod
    def configuration(cls):
        return ('routes:\n' + ''.join(
            sidecar_module.routes([name], timeout='1s', **fields).replace('routes:\n', '')
            for name, fields in (('open', {'when_away': 'serve-last', 'serve_last_max': 1000}),
                                 ('capped', {}))))

    def new_client(self):
        type(self).client.close()
        type(self).client = self.client = self.Client(self.broker)

        def works():
            try:
                return self.call('AdminService.GetStats')
            except clients.RpcError:
                return None
        until('a client', works)

    def test_sessions_resume_caps_hold_and_what_can_be_served_is(self):
        relay = self.enter(relay_module.Relay(self.broker.socket))
        fleet = [self.enter(sidecar_module.Sidecar(relay, self.configuration(), f'pod-{number}'))
                 for number in range(self.SIDECARS)]
        self.provider = 'open'
        for number in range(4):
            self.create(f'o{number}')
        self.provider = 'capped'
        caps = {'c1': 1, 'c2': 2, 'c5': 5}
        for name, cap in caps.items():
            self.create(name, maxInFlight=cap)
        names = [self.name(name) for name in caps]
        self.upstream.answer(None, Answer(delay=0.05))
        for number in range(4):
            self.upstream.answer(f'key-o{number}', Answer())
        callers = [(each, '/open/v1') for each in fleet]
        callers += [(each, '/capped/v1') for each in (fleet * 12)[:12]]
        with load_module.Load(self.upstream, callers, pause=0.02) as load, \
                load_module.InFlight(lambda: self.client, names) as seen:
            until('all have served', lambda: len(fleet) == len({
                each.sidecar for each in load.calls if each.token.startswith('key-o')}))
            time.sleep(1.0)
            # These live through the restart.
            kept = []
            until('kept', lambda: kept.append(fleet[0].lease('/capped/v1')) or
                  sum(each.status == 204 for each in kept) >= 2)
            kept = [each for each in kept if each.status == 204]
            relay.arrivals.clear()
            self.broker.process.kill()
            self.broker.process.wait()
            killed = time.monotonic()
            time.sleep(0.7)
            self.broker.start()
            started = time.monotonic()
            self.new_client()
            newcomer = sidecar_module.Sidecar(self.broker, self.configuration(), 'newcomer')
            first = self.enter_and_watch(newcomer)
            until('resumed', lambda: self.names_in_flight(names) >= len(kept), 10)
            # Kept leases hold their slots: the same two, and their reports count.
            for each in kept:
                result, = fleet[0].report({'lease': each.headers['x-credbroker-lease'],
                                           'status': 200}).json()['results']
                self.assertEqual(result['disposition'], 'accepted')
            until('capped ones are served again', lambda: any(
                each.began > started and each.token.startswith('key-c') for each in load.calls), 15)
            again = time.monotonic()
            time.sleep(1.0)
        self.judge(load, seen, caps, first, killed, started, again, relay.arrivals, len(fleet))

    def enter_and_watch(self, newcomer):
        """[when the newcomer first got a capped credential, its refusals' reasons]."""
        self.enter(newcomer)
        found = [None, set()]

        def watch():
            end = time.monotonic() + 15
            while found[0] is None and time.monotonic() < end:
                answer = newcomer.lease('/capped/v1')
                if answer.status == 204:
                    found[0] = time.monotonic()
                    newcomer.report({'lease': answer.headers['x-credbroker-lease'], 'status': 200})
                else:
                    found[1].add(answer.headers.get('x-credbroker-reason'))
                time.sleep(0.02)

        thread = threading.Thread(target=watch)
        thread.start()
        self.addCleanup(thread.join)
        return found

    def names_in_flight(self, names):
        return sum(self.call('AdminService.GetCredential', id=name)['status'].get('inFlight', 0)
                   for name in names)

    def judge(self, load, seen, caps, first, killed, started, again, arrivals, fleet):
        # All of them had served before.
        asked = [each for each in load.calls
                 if each.path == '/open/v1' and each.began > killed - 0.5]
        lost = [each for each in asked if not each.token]
        away = [each for each in load.calls if each.mode == 'last']
        print(f'        {fleet} sidecars, {len(load.calls)} calls, {len(asked)} of them from the '
              f'kill on that can be served: {len(away)} served last, lost {len(lost)}; longest '
              f'{max(each.leased - each.began for each in asked if each.leased):.2f} s; away '
              f'{started - killed:.2f} s')
        for name, cap in caps.items():
            most = self.upstream.most['key-' + name]
            print(f'        {name}: at once upstream {most}, in flight '
                  f'by the broker {seen.most[self.name(name)]}, cap {cap}')
            self.assertLessEqual(self.upstream.most['key-' + name], cap)
            self.assertLessEqual(seen.most[self.name(name)], cap)
        until('the newcomer', lambda: first[0] is not None, 15)
        waited = first[0] - started
        print(f'        first capped grant to a new session {waited:.2f} s after the start, '
              f'until then {sorted(map(str, first[1]))}; to a resumed one {again - started:.2f} s')
        self.assertGreater(waited, SESSION_TTL + SESSION_GRACE - 0.7)
        self.assertIn('RESUME_ONLY', first[1])
        self.assertEqual([(f'{each.began - killed:+.2f} s', f'{each.leased - each.began:.2f} s',
                           each.status, each.reason) for each in lost], [])
        self.assertGreater(len(away), 0)
        self.spread(arrivals, killed, started, fleet)

    def spread(self, arrivals, killed, started, fleet):
        """Who lost the broker in the same instant does not come back in the same instant."""
        def histogram(moments, width):
            counts = collections.Counter(int(when // width) for when in moments)
            return [counts[slot] for slot in range(max(counts, default=-1) + 1)]

        def busiest(moments):
            return max(sum(1 for other in moments if when <= other < when + BURST)
                       for when in moments)

        tries = sorted(when - killed for when, _ in arrivals)
        taken = sorted(when - started for when, good in arrivals if good)
        first = [when for when in tries if when < FIRST_WAIT]
        print(f'        {len(tries)} connections by {fleet} sidecars, at most {busiest(tries)} within '
              f'{BURST * 1e3:.0f} ms; {len(taken)} taken, {taken[0]:+.2f} to {taken[-1]:+.2f} s of '
              f'the start, at most {busiest(taken)} within {BURST * 1e3:.0f} ms')
        print(f'        by 50 ms from the kill: {histogram(tries, 0.05)}')
        # Each tries at most four times in the seconds it takes: 0.5, 1, 2, 4 s, and half on average.
        self.assertLessEqual(len(tries), 5 * fleet)
        self.assertGreaterEqual(len(taken), fleet)
        if fleet < 20:
            return
        # The first try comes somewhere in half a second: ten slots, none has three times its share.
        self.assertGreater(len(first), fleet * 0.7)
        self.assertLess(max(histogram(first, 0.05)), fleet * 0.3)
        self.assertGreaterEqual(sum(1 for count in histogram(first, 0.05) if count), 8)
        self.assertLess(busiest(taken), fleet * 0.35)
