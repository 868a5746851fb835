#!/bin/bash
# Runs on the server: install bootd from the synced folder, register the machines, start the daemon.
# Arguments: NAME=MAC of each machine.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3-venv ipxe grub-common grub-efi-amd64-bin grub-pc-bin

python3 -m venv /opt/bootd-venv
/opt/bootd-venv/bin/pip install -q /opt/bootd
ln -sf /opt/bootd-venv/bin/bootd /usr/local/bin/bootd
id bootd >/dev/null 2>&1 || useradd --system --no-create-home bootd

# the card of the site network: the one that holds 10.98.0.2
card=$(ip -4 -o addr show | awk '$4 ~ /^10\.98\.0\.2\// {print $2; exit}')
install -d /etc/bootd
printf '[server]\ninterfaces = ["%s"]\n' "$card" >/etc/bootd/bootd.toml

cat >/etc/systemd/system/bootd.service <<'UNIT'
[Unit]
Description=bootd network boot server
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart=/usr/local/bin/bootd serve
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable bootd
systemctl restart bootd

bootd memory build hello
names=()
for pair in "$@"; do
  bootd hosts show "${pair%%=*}" >/dev/null 2>&1 || bootd hosts add "${pair%%=*}" --mac "${pair#*=}"
  names+=("${pair%%=*}")
done
bootd boot "$(IFS=,; echo "${names[*]}")" memory:hello
bootd status
