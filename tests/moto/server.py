"""moto_server with one change: the tags of one resource are looked up, not searched for.

moto 5.2.5 matches a regular expression against every tag of every resource to find those of
one machine, so that listing N machines takes time N * N. The answer is the same.
"""

import sys

from moto.ec2.models.core import TaggedEC2Resource
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix
from moto.server import main


def get_tags(resource):
    kind = EC2_PREFIX_TO_RESOURCE.get(get_prefix(resource.id), "") if resource.id else ""
    tags = resource.ec2_backend.tags.get(resource.id, {})
    return [{"resource_id": resource.id, "key": key, "value": value, "resource_type": kind} for key, value in tags.copy().items()]


TaggedEC2Resource.get_tags = get_tags
main(sys.argv[1:])
