//! What a daemon leaves for recon: figures in `recon_cache_path`, in files that Swift's daemons share.
//!
//! Each file is one JSON object on one line with sorted keys. Who changes it holds a lock on the file itself, reads it, writes it anew
//! beside it and renames that over it, so that nobody's figures are lost and a reader sees the old ones or the new ones.

use crate::io::{self, fs};
use serde_json::{Map, Value};
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;

/// Longest wait for the lock, as Swift's daemons wait.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a file.
const FILE_BYTES_MAX: usize = 4 << 20;

/// Sets these figures in a file and leaves the others. A failure is told of in the log: figures are not worth more.
pub async fn note(folder: &Path, file: &str, values: &[(&str, Value)]) {
    let path = folder.join(file);
    if let Err(error) = replace(&path, values).await {
        tracing::warn!(path = %path.display(), %error, "figures for recon cannot be left there");
    }
}

async fn replace(path: &Path, values: &[(&str, Value)]) -> std::io::Result<()> {
    let _lock = lock(path).await?;
    let mut figures = match fs::read(path, FILE_BYTES_MAX).await {
        Ok(bytes) => serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(error),
    };
    for (name, value) in values {
        figures.insert((*name).to_owned(), value.clone());
    }
    // Swift reads the first line, and knows ASCII only.
    let text = ascii(&Value::Object(figures).to_string());
    fs::write_atomic(path, text.into_bytes(), 0o600).await
}

async fn lock(path: &Path) -> std::io::Result<fs::Lock> {
    let end = io::monotonic().after(LOCK_WAIT);
    // Ends: at the deadline.
    loop {
        match fs::lock(path).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if end.since(io::monotonic()).is_zero() {
                    return Err(Error::new(ErrorKind::TimedOut, "another process holds the lock"));
                }
                io::sleep(LOCK_PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// JSON with what is beyond ASCII written as Python writes it, and a line end.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 1);
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            text.push_str(&format!("\\u{unit:04x}"));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::real;
    use serde_json::json;

    async fn read(path: &Path) -> String {
        String::from_utf8(fs::read(path, FILE_BYTES_MAX).await.unwrap()).unwrap()
    }

    #[test]
    fn figures_of_others_stay_and_a_lock_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object.recon");
        let place = folder.path().to_owned();
        real::run(real::CoreOptions::default(), || async move {
            note(&place, "object.recon", &[("expired_last_pass", json!(3))]).await;
            assert_eq!(read(&path).await, "{\"expired_last_pass\":3}\n");
            // As Python writes it.
            let others =
                "{\"async_pending\": 7, \"expired_last_pass\": 3, \"object_updater_stats\": {\"\\u00fc\": 1}}\n";
            fs::write_atomic(&path, others.into(), 0o600).await.unwrap();
            let held = fs::lock(&path).await.unwrap();
            let noted = io::spawn({
                let place = place.clone();
                async move {
                    note(&place, "object.recon", &[("expired_last_pass", json!(4)), ("a", json!(1.5))]).await;
                }
            });
            io::sleep(LOCK_PAUSE * 3).await;
            assert_eq!(read(&path).await, others, "somebody holds the lock");
            drop(held);
            noted.await;
            let expected =
                "{\"a\":1.5,\"async_pending\":7,\"expired_last_pass\":4,\"object_updater_stats\":{\"\\u00fc\":1}}\n";
            assert_eq!(read(&path).await, expected);
            // A folder that is not there is no reason to fail.
            note(&place.join("missing"), "object.recon", &[]).await;
        })
        .unwrap();
    }
}
