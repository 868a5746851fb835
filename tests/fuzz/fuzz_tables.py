"""Host tables: only `BadText` leaves a parser, and what was read is written and read back the same."""

from bootd.errors import BadText
from bootd.formats import FORMATS

SEEDS = [
    b'# a\n52:54:00:00:00:01 10.0.0.1 1 yes /dev/sda1 role=mesh groups=a,b x="y z" # b\n'
    b"52-54-00-00-00-02 - 2 no\n",
    b"name,mac,ip,number,role,local_boot,groups,rack\n"
    b'a,52:54:00:00:00:01,10.0.0.1,1,mesh,/dev/sda1,"a,b",4\n,52:54:00:00:00:02,,2,,,,\n',
    b'[{"name": "a", "mac": "52:54:00:00:00:01", "number": 1, "role": null, "groups": ["g"],\n'
    b' "settings": {"x": "y"}}]\n',
]


def target(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for each in FORMATS.values():
        try:
            hosts = [row.host for row in each.parse(text)]
        except BadText:
            continue
        assert [row.host for row in each.parse(each.format_hosts(hosts))] == hosts
        assert [row.host for row in each.parse(each.format_hosts(hosts, text))] == hosts
