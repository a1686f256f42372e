//! A real cluster for a test: `martlet up` on free ports in a folder of its own, stopped and removed at the end.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The executable under test.
pub const MARTLET: &str = env!("CARGO_BIN_EXE_martlet");

pub struct Cluster {
    pub dir: PathBuf,
    _folder: tempfile::TempDir,
    up: Option<Child>,
    options: Vec<String>,
    pub client: Client,
}

impl Cluster {
    /// Starts a cluster and authenticates.
    pub fn start(options: &[&str]) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("cluster");
        let options = options.iter().map(|word| (*word).to_owned()).collect();
        let mut cluster = Cluster { dir, _folder: folder, up: None, options, client: Client::default() };
        cluster.up();
        cluster
    }

    /// Starts `martlet up` on the folder (again).
    pub fn up(&mut self) {
        let errors = std::fs::File::create(self.dir.with_extension("err")).expect("a file");
        let mut child = Command::new(MARTLET)
            .args(["up", self.dir.to_str().expect("UTF-8"), "--port", "0"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("martlet starts");
        let output = child.stdout.take().expect("piped");
        self.up = Some(child);
        let mut said = BTreeMap::new();
        for line in BufReader::new(output).lines() {
            let line = line.expect("UTF-8");
            let mut words = line.split_whitespace();
            if let (Some(name), Some(value)) = (words.next(), words.next()) {
                said.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
        }
        let errors = || std::fs::read_to_string(self.dir.with_extension("err")).unwrap_or_default() + &self.logs();
        let auth = said.get("auth").unwrap_or_else(|| panic!("the cluster did not start: {}", errors()));
        self.client = Client::authenticate(auth, &said["user"], &said["key"]);
    }

    /// Stops it as Ctrl-C does; gives the exit code.
    pub fn down(&mut self) -> Option<i32> {
        let mut child = self.up.take()?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not zero");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
        child.wait().expect("it ends").code()
    }

    /// Process id of a daemon.
    pub fn pid(&self, daemon: &str) -> rustix::process::Pid {
        let text = std::fs::read_to_string(self.dir.join("run").join(format!("{daemon}.pid"))).expect("a pid file");
        rustix::process::Pid::from_raw(text.trim().parse().expect("a number")).expect("not zero")
    }

    /// What `martlet bench` says when it runs against this cluster.
    pub fn bench(&self, words: &[&str]) -> Value {
        let output = Command::new(MARTLET).arg("env").arg(&self.dir).output().expect("martlet starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.split_once(&format!("{name}=")));
            let value = line.map(|(_, value)| value.trim_matches(['\'', '"']).to_owned());
            value.unwrap_or_else(|| panic!("{name} in {said}"))
        };
        let variables = ["ST_AUTH", "ST_USER", "ST_KEY"].map(|name| (name, value(name)));
        json(&[&["bench"], words].concat(), &variables)
    }

    /// What the daemons wrote last, for failing tests.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for entry in std::fs::read_dir(self.dir.join("log")).into_iter().flatten().flatten() {
            let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(10).collect();
            text +=
                &format!("\n{}:\n{}", entry.path().display(), last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        text
    }
}

/// Runs a command of `martlet` to its end; gives the JSON it printed.
pub fn json(words: &[&str], variables: &[(&str, String)]) -> Value {
    let mut command = Command::new(MARTLET);
    command.args(words).args(["--json"]).envs(variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().expect("martlet starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{words:?}: {error}: {errors}"))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        self.down();
    }
}

/// A daemon started by the test itself (one that was killed comes back).
pub struct Daemon(Child);

impl Daemon {
    pub fn start(subcommand: &str, conf: &Path) -> Daemon {
        let child = Command::new(MARTLET).arg(subcommand).arg(conf).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        Daemon(child.expect("it starts"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A blocking Swift client: one connection per request.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub token: String,
    pub account: String,
}

impl Default for Client {
    fn default() -> Self {
        Client { address: SocketAddr::from(([127, 0, 0, 1], 0)), token: String::new(), account: String::new() }
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(&name.to_ascii_lowercase()).map_or("", String::as_str)
    }
}

impl Client {
    pub fn authenticate(auth: &str, user: &str, key: &str) -> Client {
        let rest = auth.strip_prefix("http://").expect("http");
        let (host, path) = rest.split_at(rest.find('/').expect("a path"));
        let mut client = Client { address: host.parse().expect("an address"), ..Client::default() };
        let answer = client.raw("GET", path, &[("X-Auth-User", user), ("X-Auth-Key", key)], None).expect("an answer");
        assert_eq!(answer.status, 200, "authentication: {answer:?}");
        client.token = answer.header("X-Auth-Token").to_owned();
        let url = answer.header("X-Storage-Url").to_owned();
        client.account = url.strip_prefix(&format!("http://{host}")).expect("our own host").to_owned();
        client
    }

    /// A request below the account.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        self.try_request(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> std::io::Result<Answer> {
        let mut all = vec![("X-Auth-Token", self.token.as_str())];
        all.extend_from_slice(headers);
        self.raw(method, &format!("{}{path}", self.account), &all, body)
    }

    fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        stream.write_all(body.unwrap_or_default())?;
        read_answer(BufReader::new(stream), method == "HEAD")
    }
}

fn read_answer(mut reader: impl BufRead, is_head: bool) -> std::io::Result<Answer> {
    let short = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(short)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())),
            None => break,
        }
    }
    let mut body = Vec::new();
    if is_head || status == 204 || status == 304 {
        return Ok(Answer { status, headers, body });
    }
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(|_| short())?;
            let before = body.len() as u64;
            reader.by_ref().take(size).read_to_end(&mut body)?;
            let mut end = [0; 2];
            reader.read_exact(&mut end)?;
            if body.len() as u64 - before != size {
                return Err(short());
            }
            if size == 0 {
                return Ok(Answer { status, headers, body });
            }
        }
    }
    reader.read_to_end(&mut body)?;
    let length = headers.get("content-length").and_then(|value| value.parse::<usize>().ok());
    if length.is_some_and(|length| length != body.len()) { Err(short()) } else { Ok(Answer { status, headers, body }) }
}

/// Tries until `check` holds; fails the test after a time far beyond what is needed.
pub fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < Duration::from_secs(90), "{what} did not come true");
        std::thread::sleep(Duration::from_millis(100));
    }
}
