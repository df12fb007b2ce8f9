"""A broker, a sidecar and an upstream for the tests of a class; a provider for each test."""
import time


import cases
import clients
import sidecar as sidecar_module
import upstream as upstream_module
from broker import until


class SidecarCase(cases.BrokerCase):
    """Attributes beside BrokerCase's: sidecar, upstream. Paths below /PROVIDER/ lease for it."""
    extra = sidecar_module.SESSIONS
    routes_extra = {}       # fields of every route
    sidecar_extra = ''      # more of the sidecar's configuration
    providers = tuple(f'p{number}' for number in range(1, 161))

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.upstream = cls.enter(upstream_module.Upstream())
        cls.sidecar = cls.enter(sidecar_module.Sidecar(cls.broker, cls.configuration()))

    @classmethod
    def configuration(cls):
        return sidecar_module.routes(cls.providers, **cls.routes_extra) + cls.sidecar_extra

    @classmethod
    def enter(cls, context):
        context.__enter__()
        cls.addClassCleanup(context.__exit__)
        return context

    def setUp(self):
        super().setUp()
        self.upstream.forget()
        self.path = f'/{self.provider}/v1/messages'

    def lease(self, **more):
        """A lease of this test's provider: the answer of /lease."""
        return self.sidecar.lease(self.path, **more)

    def wait_for_state(self, name, state, seconds=5):
        def reached():
            try:
                status = self.status(name)
            except clients.RpcError as error:
                # Of a broker that was killed: gRPC finds out with the first call that fails.
                if error.code != 'UNAVAILABLE':
                    raise
                return None
            return status if status['state'] == 'CREDENTIAL_STATE_' + state else None
        return until(f'{name} {state}', reached, seconds)

    def in_flight(self, *names):
        return sum(self.status(name).get('inFlight', 0) for name in names)

    def idle(self, *names, seconds=5):
        until(f'{names} idle', lambda: self.in_flight(*names) == 0, seconds)

    def unpenalised(self, *names):
        for name in names:
            status = self.status(name)
            self.assertEqual(status['state'], 'CREDENTIAL_STATE_AVAILABLE', status)
            self.assertNotIn('cause', status)
            self.assertNotIn('availability', status)    # no model of it either
            self.assertFalse(status.get('halfOpen'), status)


def recover_seconds(status):
    """From now until the status says."""
    return clients.moment(status['nextRecoverTime']) - time.time()
