"""One upstream call with a leased credential.   call.py BROKER PROVIDER MODEL URL"""
import sys
import urllib.error
import urllib.request

import grpc
from credbroker.v1 import broker_pb2_grpc, lease_pb2, types_pb2

target, provider, model, url = sys.argv[1:]
with grpc.insecure_channel(target) as channel:
    broker = broker_pb2_grpc.BrokerServiceStub(channel)

    grant = broker.Acquire(lease_pb2.AcquireRequest(
        providers=[provider], model=model, max_wait={'seconds': 5}), timeout=10)
    outcome = lease_pb2.ReportItem(lease_id=grant.lease_id)
    headers = {each.name: each.value.decode() for each in grant.request_headers}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    except OSError:
        answer, outcome.outcome = None, types_pb2.OUTCOME_NETWORK_ERROR
    if answer is not None:
        outcome.http_status = answer.status
        for name, value in answer.headers.items():
            outcome.headers.add(name=name.lower(), value=value.encode())
    result = broker.Report(lease_pb2.ReportRequest(items=[outcome]), timeout=10).results[0]

print(grant.credential_id, outcome.http_status or 'no answer',
      types_pb2.Advice.Name(result.advice))
