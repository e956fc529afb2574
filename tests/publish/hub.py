"""A server that speaks the part of the Hugging Face Hub's protocol that an upload uses, and keeps what it gets."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TOKEN = "hf_good"
_LARGE = (".pth", ".zip", ".onnx", ".npz", ".png", ".model", ".wasm")


class Hub(ThreadingHTTPServer):
    """The server.

    Attributes:
        repos: files by repository, `spaces/user/name` for a Space.
        objects: large files by hash.
        sent: how many were uploaded.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, bytes]] = {"someone/there": {}}
        self.objects: dict[str, bytes] = {}
        self.sent = 0
        self.lock = threading.Lock()
        self.fail_after: int | None = None  # uploads that succeed before the connection breaks
        self.url = f"http://127.0.0.1:{self.server_port}"


def _repo(path: str) -> str:
    kind, user, name = path.split("/")[2:5]
    return f"{'spaces/' if kind == 'spaces' else ''}{user}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urlsplit(self.path).path
        if not self._known():
            return
        if "/resolve/" in path:
            user, name, _, _, file = path.removeprefix("/").split("/", 4)
            self._send(self.server.repos[f"{user}/{name}"][file])
        elif path == "/api/whoami-v2":
            role = "write" if self.headers["Authorization"].endswith(TOKEN) else "read"
            self._answer({"type": "user", "name": "someone", "auth": {"accessToken": {"role": role}}})
        elif path.startswith(("/api/models/", "/api/spaces/")):
            repo = _repo(path)
            files = self.server.repos.get(repo)
            if files is not None and "/tree/" in path:
                self._answer([{"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                              for name, data in files.items()])  # fmt: skip
            elif files is not None:
                siblings = [{"rfilename": name} for name in files]
                self._answer({"id": repo, "modelId": repo, "sha": "1" * 40, "siblings": siblings, "private": False,
                              "tags": [], "downloads": 0, "likes": 0})  # fmt: skip
            else:
                self._answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    def do_POST(self):
        path, body = urlsplit(self.path).path, self._body()
        if not self._known():
            return
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization') or 'someone'}/{asked['name'].split('/')[-1]}"
            if asked.get("type") == "space":
                assert asked["sdk"] == "static"
                repo = f"spaces/{repo}"
            self.server.repos[repo] = {}
            self._answer({"url": f"{self.server.url}/{repo}", "name": repo, "id": repo})
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [{"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(_LARGE) else "regular",
                      "shouldIgnore": False, "oid": None} for one in files]  # fmt: skip
            self._answer({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            wanted = []
            for one in json.loads(body)["objects"]:
                there = one["oid"] in self.server.objects
                actions = {} if there else {"actions": {"upload": {"href": f"{self.server.url}/upload/{one['oid']}"}}}
                wanted.append({**one, **actions})
            self._answer({"transfer": "basic", "objects": wanted})
        elif "/commit/" in path:
            name = _repo(path)
            repo = self.server.repos[name]
            for line in body.decode().splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    repo[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    repo[value["path"]] = self.server.objects[value["oid"]]
                elif entry["key"] == "deletedFile":
                    del repo[value["path"]]
            self._answer({"commitUrl": f"{self.server.url}/{name}/commit/1", "commitOid": "1" * 40, "success": True})

    def do_PUT(self):
        body = self._body()
        with self.server.lock:  # a client sends several files at a time
            broken = self.server.fail_after is not None and self.server.sent >= self.server.fail_after
            self.server.sent += not broken
        if broken:
            self._answer({"error": "broken"}, 400)
            return
        oid = self.path.rsplit("/", 1)[1]
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.objects[oid] = body
        self._answer({})

    def _known(self) -> bool:
        if self.headers.get("Authorization") in (f"Bearer {TOKEN}", "Bearer hf_read"):
            return True
        busy = self.headers.get("Authorization") == "Bearer hf_busy"
        self._answer({"error": "busy" if busy else "Invalid user token."}, 503 if busy else 401)
        return False

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, value: dict | list, status: int = 200, headers: dict | None = None):
        self._send(json.dumps(value).encode(), status, headers)

    def _send(self, data: bytes, status: int = 200, headers: dict | None = None):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Runs a hub in a thread."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
