"""Prints the VM's nftables rules: `firewall.py | nft -f -`. Data in, rules out; loads nothing itself.

A table of its own, ahead of Docker's: what is refused here never reaches a published port. Docker's tables stay Docker's."""
import ipaddress
import pwd
import re

import common
import spot

# Metadata services by address: IPv4 of all, Scaleway's, and the IPv6 of EC2 and Scaleway.
METADATA_4 = "169.254.169.254, 169.254.42.42"
METADATA_6 = "fd00:ec2::254, fd00:42::42"
PRIVATE_4 = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 198.18.0.0/15"
PRIVATE_6 = "fc00::/7, fe80::/10, ::ffff:0:0/96, 64:ff9b::/96"

RULES = """\
table inet mayfly
delete table inet mayfly
table inet mayfly {{
	counter refused {{ }}

	set allow4 {{ type ipv4_addr; flags interval; auto-merge; {allow4} }}
	set allow6 {{ type ipv6_addr; flags interval; auto-merge; {allow6} }}

	# Before the address translation of Docker (-100): the port is still the one that was asked for.
	chain outside {{
		type filter hook prerouting priority -150; policy accept;
		ct state established,related accept
		iifname "lo" accept
		iifname {{ "docker0", "br-*", "veth*" }} jump containers
		ip protocol icmp accept
		meta l4proto ipv6-icmp accept
		udp dport {{ 68, 546 }} accept
		# For the certificate authority, which comes from anywhere.
		tcp dport 80 accept
		tcp dport {{ 22, 443 }} jump visitors
		drop
	}}

	chain visitors {{
{visitors}
	}}

	# Containers reach the outside and one another, but no metadata service and nothing link-local.
	chain containers {{
		ip daddr {{ 169.254.0.0/16 }} counter name refused drop
		ip6 daddr {{ {metadata6} }} counter name refused drop
		accept
	}}

	# The VM's own ports are for visitors, not for its containers.
	chain local {{
		type filter hook input priority -10; policy accept;
		ct state established,related accept
		iifname {{ "docker0", "br-*", "veth*" }} meta l4proto {{ tcp, udp }} drop
	}}

	chain own {{
		type filter hook output priority -10; policy accept;
		# First, because it counts: what is refused to the clone is the reason that it fails.
		meta skuid {{ {dev}, {door} }} jump unprivileged
{notice}		# Once the VM is set up nobody needs the metadata, root and host-network containers included.
		ip daddr {{ {metadata4} }} reject
		ip6 daddr {{ {metadata6} }} reject
	}}

	chain unprivileged {{
		{resolvers}
		ip daddr {{ {private4} }} counter name refused reject
		ip6 daddr {{ {private6} }} counter name refused reject
		# The VM's own door and sshd are nobody's to clone from.
		oifname "lo" tcp dport {{ 22, 80, 443 }} counter name refused reject
	}}
}}
"""


# But for EC2's notice of a spot instance's end (spot.py).
NOTICE = f"\t\tmeta skuid 0 meta mark {spot.MARK} ip daddr 169.254.169.254 tcp dport 80 accept\n"


def elements(nets):
    return f"elements = {{ {', '.join(nets)} }};" if nets else ""


def visitors(allowed):
    if not allowed:
        return "\t\taccept"
    return "\t\tip saddr @allow4 accept\n\t\tip6 saddr @allow6 accept\n\t\tdrop"


def resolvers(text):
    """Name servers may be private or link-local; questions to them are no connection to what they name."""
    lines = []
    for address in re.findall(r"^nameserver\s+([0-9a-fA-F.:]+)", text, re.M):
        try:
            family = "ip6" if ipaddress.ip_address(address).version == 6 else "ip"
        except ValueError:
            continue
        lines.append(f"{family} daddr {address} meta l4proto {{ tcp, udp }} th dport 53 accept")
    return "\n\t\t".join(lines)


def render(allow_from, resolv_conf, dev, door, provider=""):
    nets = [ipaddress.ip_network(net, strict=False) for net in allow_from]
    return RULES.format(
        allow4=elements([str(net) for net in nets if net.version == 4]),
        allow6=elements([str(net) for net in nets if net.version == 6]),
        visitors=visitors(nets), resolvers=resolvers(resolv_conf), metadata4=METADATA_4, metadata6=METADATA_6,
        private4=PRIVATE_4, private6=PRIVATE_6, dev=dev, door=door,
        notice=NOTICE if provider == "ec2" else "")


def main():
    print(render(common.value("allow_from").split(), common.read("/etc/resolv.conf"), pwd.getpwnam("dev").pw_uid,
                 pwd.getpwnam("mayfly-door").pw_uid, common.vm().get("provider")), end="")


if __name__ == "__main__":
    main()
