"""The packets that travel through the lab's chains.

A customer's packet is wrapped at the ingress gateway and unwrapped at the egress gateway. The wrapping carries
what a forwarder needs: the service, the flow's bucket, a hop limit, and where the packet came from.
"""

import struct

MAGIC = 0xA5
BUCKETS = 64
HOP_LIMIT = 16

KIND_CUSTOMER = 0
KIND_PROBE = 1

# magic, service index, bucket, hop limit, kind, source address, source port
HEADER = struct.Struct("!BBBBB4sH")
HEADER_BYTES = HEADER.size
SERVICE_AT, BUCKET_AT, HOP_LIMIT_AT, KIND_AT = 1, 2, 3, 4

# mark, flow, sequence number, time sent in ns UTC
CUSTOMER = struct.Struct("!4sIQQ")
CUSTOMER_MARK = b"cust"
CUSTOMER_BYTES = 64
CUSTOMER_PADDING = bytes(CUSTOMER_BYTES - CUSTOMER.size)

# The largest packet that any of the lab's sockets takes.
PACKET_LIMIT_BYTES = 2048


def customer_packet(flow: int, sequence: int, sent_ns: int) -> bytes:
    """One customer packet of `CUSTOMER_BYTES`."""
    return CUSTOMER.pack(CUSTOMER_MARK, flow, sequence, sent_ns) + CUSTOMER_PADDING
