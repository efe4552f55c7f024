"""A stand-in for the Hugging Face hub on this machine, spoken to by the real client."""

import base64
import json
from collections.abc import Iterator
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import huggingface_hub.constants
import pytest

import classicnets as cn

TOKEN = "hf_standin"


class Hub:
    """Repositories in memory: name -> revision -> path -> content; `main` is the newest."""

    def __init__(self):
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.objects: dict[str, bytes] = {}  # of LFS, by SHA-256
        self.asked: list[str] = []
        self.sizes: dict[str, int] = {}  # what it says of a file, if not the truth
        self.url = ""

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        content = repr(sorted(files.items())).encode()
        sha = sha1(content + str(len(self.repos[repo])).encode()).hexdigest()
        self.repos[repo] |= {sha: files, "main": files}
        return sha

    def sha(self, repo: str, revision: str) -> str:
        files = self.repos[repo][revision]
        return next(s for s, f in self.repos[repo].items() if f is files and s != "main")


class Answer(Exception):
    def __init__(self, status: int, body: Any = b"", **headers: str):
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def handle_verb(self) -> None:
        given = b"".join(self.sent())
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked.append(f"{self.command} /{path}")
        try:
            self.answer(path.split("/"), given)
            answer = Answer(404, {"error": "no such page"})
        except Answer as found:
            answer = found
        except Exception as error:  # for the test to see
            answer = Answer(500, {"error": repr(error)})
        self.send_response(answer.status)
        length = answer.headers.pop("length", str(len(answer.body)))
        for name, value in {"Content-Length": length, **answer.headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def sent(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding") != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    do_GET = do_HEAD = do_POST = do_PUT = handle_verb

    @property
    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def answer(self, words: list[str], given: bytes) -> None:
        match words:
            case ["api", "validate-yaml"]:
                raise Answer(200, {"errors": [], "warnings": []})
            case ["api", "models", "ada", "page"]:
                raise Answer(200, b"<html>log in</html>")
            case ["api", "models", "ada", "silence"]:
                sleep(1)
            case ["api", "repos", "create"]:
                self.create(json.loads(given))
            case ["objects", oid]:
                self.hub.objects[oid] = given
                raise Answer(200)
            case ["api", "models", user, name, *rest]:
                repo = self.require(f"{user}/{name}")
                self.model(repo, rest, given)
            case [user, name, "info", "lfs", "objects", "batch"]:
                self.require(f"{user}/{name.removesuffix('.git')}")
                self.batch(json.loads(given))
            case [user, name, "resolve", revision, *path]:
                repo = self.require(f"{user}/{name}")
                self.resolve(repo, revision, "/".join(path))

    def require(self, repo: str) -> str:
        """As the hub does: without a token what is not there and what is private look alike."""
        there = repo in self.hub.repos and (self.known or repo not in self.hub.private)
        if not there:
            code = "RepoNotFound"
            message = {"error": "Repository not found"}
            raise Answer(404 if self.known else 401, message, X_Error_Code=code)
        return repo

    def create(self, wanted: dict[str, Any]) -> None:
        if not self.known:
            raise Answer(401, {"error": "Invalid username or password."})
        repo = f"{wanted.get('organization') or 'ada'}/{wanted['name']}"
        if not repo.startswith("ada/"):
            raise Answer(403, {"error": "You don't have the rights to create a model there"})
        if repo in self.hub.repos:
            url = f"{self.hub.url}/{repo}"
            raise Answer(409, {"error": "You already created this model repo", "url": url})
        self.hub.repos[repo] = {}
        self.hub.commit(repo, {".gitattributes": b"*.safetensors filter=lfs\n"})
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.hub.private.add(repo)
        raise Answer(200, {"url": f"{self.hub.url}/{repo}"})

    def model(self, repo: str, rest: list[str], given: bytes) -> None:
        match rest:
            case [] | ["revision", _]:
                revision = rest[1] if rest else "main"
                files = self.files(repo, revision)
                sizes = {path: self.hub.sizes.get(path, len(c)) for path, c in files.items()}
                siblings = [{"rfilename": p, "size": n, "blobId": "0"} for p, n in sizes.items()]
                found = {"id": repo, "modelId": repo, "sha": self.hub.sha(repo, revision)}
                raise Answer(200, found | {"siblings": siblings, "private": False, "tags": []})
            case ["tree", revision, *_]:
                listed = self.files(repo, revision).items()
                raise Answer(
                    200,
                    [{"type": "file", "oid": "0", "size": len(c), "path": p} for p, c in listed],
                )
            case ["preupload", _]:
                modes = [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for one in json.loads(given)["files"]
                ]
                raise Answer(200, {"files": modes})
            case ["commit", revision]:
                self.commit(repo, revision, given)

    def commit(self, repo: str, revision: str, given: bytes) -> None:
        files = dict(self.files(repo, revision))
        for line in given.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.hub.commit(repo, files)
        url = f"{self.hub.url}/{repo}/commit/{sha}"
        raise Answer(200, {"success": True, "commitOid": sha, "commitUrl": url, "hookOutput": ""})

    def batch(self, wanted: dict[str, Any]) -> None:
        objects = [
            one | {"actions": {"upload": {"href": f"{self.hub.url}/objects/{one['oid']}"}}}
            for one in wanted["objects"]
        ]
        raise Answer(200, {"transfer": "basic", "objects": objects})

    def files(self, repo: str, revision: str) -> dict[str, bytes]:
        if revision not in self.hub.repos[repo]:
            error = {"error": "Invalid rev id"}
            raise Answer(404, error, X_Error_Code="RevisionNotFound")
        return self.hub.repos[repo][revision]

    def resolve(self, repo: str, revision: str, path: str) -> None:
        content = self.files(repo, revision)[path]
        raise Answer(
            200,
            content,
            ETag=f'"{sha256(content).hexdigest()}"',
            X_Repo_Commit=self.hub.sha(repo, revision),
        )


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Hub]:
    """The hub, with a cache of its own for the client and the token where it is looked for."""
    found = Hub()
    handler = type("Bound", (Handler,), {"hub": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        point_at(found.url, tmp_path, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        try:
            yield found
        finally:
            server.shutdown()


def point_at(url: str, home: Path, monkeypatch) -> None:
    """What HF_ENDPOINT and HF_HOME set as the client is imported."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)


@pytest.fixture(scope="session")
def photos(tmp_path_factory, write_folder) -> Path:
    return write_folder(tmp_path_factory.mktemp("secret-place") / "photos")


@pytest.fixture(scope="session")
def run(tmp_path_factory, photos) -> Path:
    """A narrow design after an epoch on a folder of photos."""
    file = tmp_path_factory.mktemp("designs") / "small.net"
    file.write_text(cn.design("resnet20", "1/8", (3, 16, 16), 2))
    out = tmp_path_factory.mktemp("runs") / "photos"
    cn.train(str(file), photos, epochs=1, out=out).finish()
    return out
