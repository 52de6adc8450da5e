"""Prints the Caddyfile of the door: HTTPS on 443, the sign-in in front of everything, the terminal, the web UI.

    caddyfile.py [--ui PORT | --ui-is-terminal] [--self-signed]
The sign-in itself is door.py. Without a UI (not up, or not fit to be shown) its place is the status page."""
import argparse

import common

TERMINAL_PORT = 7681

CADDYFILE = """\
{{
	admin unix/{run}/admin.sock
	# Browsers send no server name for an address.
	default_sni {sni}
	skip_install_trust
	grace_period 5s
	servers {{
		protocols h1 h2
	}}
}}

{sites} {{
	tls {{
{issuers}
	}}
	header {{
		X-Content-Type-Options nosniff
		Referrer-Policy no-referrer
		Permissions-Policy "camera=(), geolocation=(), payment=()"
		Cross-Origin-Opener-Policy same-origin
		X-Robots-Tag noindex
		# No page of somebody else's may frame this one. A certificate may be self-signed, so no Strict-Transport-Security.
		?Content-Security-Policy "frame-ancestors 'self'"
		-Server
	}}

	handle /_mayfly/* {{
		reverse_proxy unix/{run}/door.sock
	}}

	handle {{
		forward_auth unix/{run}/door.sock {{
			uri /_mayfly/check
		}}
		redir /terminal /terminal/
		handle /terminal/* {{
			reverse_proxy 127.0.0.1:{terminal} {{
				{without_cookie}
			}}
		}}
		handle {{
			{ui}
		}}
	}}

	# What is not up yet shows how far the VM is.
	handle_errors 502 503 504 {{
		rewrite * /_mayfly/status
		reverse_proxy unix/{run}/door.sock
	}}
}}
"""


# What stands behind the door need not see the door's own cookie. In the proxy's copy only: the status page needs it.
WITHOUT_COOKIE = 'header_up Cookie "(^|; *)__Host-mayfly=[^;]*" ""'


def bracketed(address):
    return f"[{address}]" if ":" in address else address


def issuers(self_signed, acme_ca):
    """Let's Encrypt's short-lived profile, the only one for addresses; an own CA where that fails. The latter's
    certificates are short too, and each renewal tries the former first."""
    own = "\t\tissuer internal {\n\t\t\tlifetime 1h\n\t\t}"
    if self_signed:
        return own
    directory = f"\n\t\t\tdir {acme_ca}" if acme_ca else ""
    return f"\t\tissuer acme {{\n\t\t\tprofile shortlived{directory}\n\t\t}}\n{own}"


def render(hosts, ui, self_signed=False, acme_ca="", run="/run/mayfly/door"):
    if not hosts:
        raise SystemExit("caddyfile: this VM has neither a domain nor an address")
    return CADDYFILE.format(run=run, sni=hosts[0], sites=", ".join(f"https://{bracketed(host)}" for host in hosts),
                            issuers=issuers(self_signed, acme_ca), terminal=TERMINAL_PORT, ui=ui,
                            without_cookie=WITHOUT_COOKIE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ui", type=int)
    parser.add_argument("--ui-is-terminal", action="store_true")
    parser.add_argument("--self-signed", action="store_true")
    args = parser.parse_args()
    ui = "redir * /_mayfly/status"
    if args.ui_is_terminal:
        ui = "redir * /terminal/"
    elif args.ui:
        ui = f"reverse_proxy 127.0.0.1:{args.ui} {{\n\t\t\t\t{WITHOUT_COOKIE}\n\t\t\t}}"
    domain, addresses = common.value("domain"), common.value("addresses").split()
    hosts = ([domain] if domain else []) + addresses[:1]
    print(render(hosts, ui, args.self_signed or common.value("tls") == "internal", common.value("acme_ca")), end="")


if __name__ == "__main__":
    main()
