//! Requests about links: chains, loops, static ones, and whatever else a link may be at the same time.

use super::Generator;
use crate::wire::Request;
use base::checksum::md5_hex;

/// A chain of links that lead to the next, and what stands at their end.
const LINKS: [&str; 6] = ["l0", "l1", "l2", "l3", "one", "p/q/r"];

impl Generator {
    pub(super) fn link(&mut self, request: &mut Request) {
        match self.random.below(10) {
            0..=3 => self.put_link(request),
            4..=6 => self.read_link(request),
            7 => self.post_link(request),
            8 => self.copy_link(request),
            _ => {
                request.method = "GET";
                let more = self.one(&["format=json", "format=xml", "prefix=l&format=json", "versions&format=json"]);
                request.target = format!("{}?{more}", self.path(false));
            }
        }
    }

    fn link_path(&mut self) -> String {
        // Versions of links show in their container: types are guessed there (see `put_container`).
        format!("/v1/AUTH_test/{}/{}", self.container_name(), self.one(&LINKS))
    }

    fn put_link(&mut self, request: &mut Request) {
        request.method = "PUT";
        request.target = self.link_path();
        let target = format!("{}/{}", self.container_name(), self.one(&LINKS));
        let target = match self.random.below(14) {
            0 => request.target.trim_start_matches("/v1/AUTH_test/").to_owned(),
            1 => format!("/{target}"),
            2 => format!("{}//{}", self.container_name(), "x"),
            3 => format!("{target}?version-id=null"),
            4 => format!("{}/{}", self.container_name(), "t".repeat(1025)),
            5 => format!("{}/%00", self.container_name()),
            6 => format!("{}/%ff", self.container_name()),
            7 => "%2Fx/y".to_owned(),
            _ => target,
        };
        Self::set(request, "X-Symlink-Target", target);
        if self.chance(40) {
            let etag = match self.random.below(8) {
                0..=4 => md5_hex(super::BODIES[self.random.index(4)]),
                5 => format!("\"{}\"", md5_hex(b"body")),
                6 => self.one(&["", "\"\"", "a;b", "a\\b", "bad", "*", "W/\"x\""]).to_owned(),
                _ => md5_hex(b"").to_uppercase(),
            };
            Self::set(request, "X-Symlink-Target-Etag", etag);
        }
        if self.chance(15) {
            let account = self.one(&["AUTH_test", "AUTH_test2", "a/b", "", "%41UTH_test", "nobody"]);
            Self::set(request, "X-Symlink-Target-Account", account);
        }
        match self.random.below(12) {
            0 => request.body = b"x".to_vec(),
            1 => request.chunked = true,
            2 => Self::set(request, "X-Object-Manifest", format!("{}a/p", self.stem)),
            3 => request.target.push_str("?multipart-manifest=put"),
            4 => Self::set(request, "Content-Type", "text/link"),
            5 => Self::set(request, "Content-Type", ""),
            6 => Self::set(request, "If-None-Match", "*"),
            7 => Self::set(request, "X-Copy-From", format!("{}a/one", self.stem)),
            8 => Self::set(request, "Etag", md5_hex(b"")),
            9 => Self::set(request, "X-Object-Meta-Of", "link"),
            _ => {}
        }
    }

    fn read_link(&mut self, request: &mut Request) {
        request.method = self.one(&["GET", "GET", "HEAD", "HEAD", "DELETE", "OPTIONS"]);
        request.target = self.link_path();
        let query = self.one(&[
            "",
            "",
            "",
            "?symlink=get",
            "?symlink=get",
            "?symlink=target",
            "?symlink=",
            "?symlink=get&multipart-manifest=get",
            "?multipart-manifest=get",
            "?symlink=get&format=raw",
            "?part-number=1",
        ]);
        request.target.push_str(query);
        if matches!(request.method, "GET" | "HEAD") {
            self.conditions(request);
        }
    }

    fn post_link(&mut self, request: &mut Request) {
        request.method = "POST";
        request.target = self.link_path();
        match self.random.below(5) {
            0 => Self::set(request, "X-Symlink-Target", format!("{}a/one", self.stem)),
            1 => Self::set(request, "X-Symlink-Target-Etag", md5_hex(b"body")),
            2 => request.target.push_str("?symlink=get"),
            _ => {}
        }
        Self::set(request, "X-Object-Meta-Posted", "here");
    }

    fn copy_link(&mut self, request: &mut Request) {
        request.target = self.link_path();
        let other = self.link_path().replacen("/v1/AUTH_test/", "", 1);
        if self.chance(50) {
            request.method = "COPY";
            Self::set(request, "Destination", other);
        } else {
            request.method = "PUT";
            Self::set(request, "X-Copy-From", other);
            if self.chance(15) {
                Self::set(request, "X-Symlink-Target", format!("{}a/one", self.stem));
            }
        }
        if self.chance(50) {
            let query = self.one(&["?symlink=get", "?symlink=get&multipart-manifest=get", "?symlink=target"]);
            request.target.push_str(query);
        }
        if self.chance(20) {
            let range = self.one(&["bytes=0-1", "bytes=-1", "bytes=90-"]);
            Self::set(request, "Range", range);
        }
    }
}
