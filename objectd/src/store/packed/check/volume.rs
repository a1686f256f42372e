//! The volumes of a check: every byte scanned, every record that counts found.

use super::super::entry::{At, Held, Key, Place};
use super::super::index::Usage;
use super::super::record::{BATCH_ALIGNMENT, Head, Kind, RECORD_ALIGNMENT, Spot, verify_blocks};
use super::super::scan::Found;
use super::super::sweep::{Source, Sweep, log_end};
use super::super::volume::{self, HEADER_BYTES, Header};
use super::{Check, What, place_of};
use base::io::fs;
use std::io::ErrorKind;

/// Bytes behind the end of the log looked at in one read.
const TAIL_READ_BYTES: u64 = 1024 * 1024;

impl Check<'_> {
    /// How much there is to be read.
    pub(super) async fn volumes_ahead(&mut self) -> std::io::Result<()> {
        for number in self.numbers().await? {
            if let Ok(volume) = self.store.log.volume(number).await {
                self.total += volume.len();
            }
        }
        Ok(())
    }

    /// Numbers of the volumes that were there when the check began.
    async fn numbers(&self) -> std::io::Result<Vec<u32>> {
        let path = self.store.log.path(0);
        let directory = path.parent().expect("a volume is in a directory");
        let entries = fs::read_dir(directory).await?;
        let numbers = entries.iter().filter_map(|entry| volume::parse_file_name(&entry.name));
        Ok(numbers.filter(|number| *number <= self.end.volume).collect())
    }

    pub(super) async fn volumes(&mut self) -> std::io::Result<()> {
        let mut named: Vec<u32> = self.counted.keys().copied().collect();
        for number in self.numbers().await? {
            named.retain(|other| *other != number);
            match self.volume(number).await {
                // Compaction took it away meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.suspects.insert(number);
                    self.dead_is_known = false;
                }
                result => result?,
            }
        }
        // Volumes that entries name and that are not there.
        self.suspects.extend(named);
        Ok(())
    }

    async fn volume(&mut self, number: u32) -> std::io::Result<()> {
        let opened = self.store.log.volume(number).await?;
        let source = Source::File(self.reader.clone(), self.store.log.path(number));
        self.report.volumes += 1;
        self.header(number, &source).await?;
        let is_last = number == self.end.volume;
        let limit = if is_last { self.end.offset } else { log_end(&self.store.log, number).await? };
        let before = self.counted_here(number);
        let mut seen = Seen { end: HEADER_BYTES, ..Seen::default() };
        let mut sweep = Sweep::new(source.clone(), self.store.log.store(), number, HEADER_BYTES, limit);
        while let Some(found) = sweep.next().await? {
            self.take(number, found, &mut seen).await?;
            (self.progress)(self.done + sweep.offset(), self.total);
        }
        // Zeros where the next volume says that there was a log.
        let knows_end = limit < opened.len() || is_last;
        if knows_end && seen.end < limit {
            let why = format!("{} bytes of zeros where the log went on", limit - seen.end);
            self.report.tell(What::Garbage, None, format!("volume {number:08x} at {}", seen.end), why);
        }
        // Whether what was damaged behind the last good record was counted is only known where the end is.
        if !knows_end && !seen.damaged.is_empty() {
            self.dead_is_known = false;
        }
        for key in std::mem::take(&mut seen.damaged) {
            self.count_dead(key, u64::MAX);
        }
        if seen.living.live_records < before.live_records {
            self.suspects.insert(number);
        }
        // Behind the end of the last one somebody may be writing.
        if !is_last || self.is_quiet() {
            self.tail(number, &source, limit, opened.len()).await?;
        }
        self.done += opened.len();
        (self.progress)(self.done, self.total);
        Ok(())
    }

    fn counted_here(&self, number: u32) -> Usage {
        self.counted.get(&number).copied().unwrap_or_default()
    }

    async fn header(&mut self, number: u32, source: &Source) -> std::io::Result<()> {
        let block = source.read(0, usize::try_from(HEADER_BYTES).unwrap_or_default()).await?;
        let why = match Header::decode(&block) {
            Ok(header) if header.store != self.store.log.store() => "a volume of another store".to_owned(),
            Ok(header) if header.volume != number => format!("this is volume {:08x}", header.volume),
            Ok(_) => return Ok(()),
            Err(damage) => damage.message,
        };
        self.report.tell(What::Header, None, format!("volume {number:08x}"), why);
        Ok(())
    }

    async fn take(&mut self, number: u32, found: Vec<Found>, seen: &mut Seen) -> std::io::Result<()> {
        for item in found {
            match item {
                Found::Record { offset, lengths, head } => {
                    let at = At { volume: number, offset, length: lengths.head + lengths.body };
                    let alignment = if lengths.is_last { BATCH_ALIGNMENT } else { RECORD_ALIGNMENT };
                    seen.end = (offset + lengths.total()).next_multiple_of(alignment);
                    for key in std::mem::take(&mut seen.damaged) {
                        self.count_dead(key, u64::MAX);
                    }
                    self.report.records += 1;
                    self.record(&head, at, seen).await?;
                }
                // It wants whole heads.
                Found::Brief { .. } => {}
                Found::Damaged { offset, bytes, fixed } => {
                    seen.end = seen.end.max((offset + bytes).next_multiple_of(RECORD_ALIGNMENT));
                    let Some(fixed) = fixed else {
                        let why = format!("{bytes} bytes that are no record");
                        self.report.tell(What::Garbage, None, format!("volume {number:08x} at {offset}"), why);
                        continue;
                    };
                    if fixed.lengths.is_last {
                        seen.end = seen.end.next_multiple_of(BATCH_ALIGNMENT);
                    }
                    let at = At { volume: number, offset, length: fixed.lengths.head + fixed.lengths.body };
                    let key = Key::new(fixed.policy, fixed.hash);
                    let held = Held { version: fixed.version, place: place_in(fixed.kind, at) };
                    let why = "its metadata or its body do not fit their checksums".to_owned();
                    if self.lives(key, held).await? {
                        seen.living.live_records += 1;
                        self.damaged(key, held, What::Record, why, None).await?;
                    } else {
                        self.report.tell(What::Garbage, Some(key), place_of(at), format!("a dead record: {why}"));
                        seen.damaged.push(key);
                    }
                }
            }
        }
        Ok(())
    }

    async fn record(&mut self, head: &Head, at: At, seen: &mut Seen) -> std::io::Result<()> {
        let key = Key::new(head.identity.policy, head.identity.hash);
        let held = Held { version: head.version, place: place_in(head.kind, at) };
        if !self.lives(key, held).await? {
            self.count_dead(key, u64::MAX);
            return Ok(());
        }
        seen.living.live_records += 1;
        self.report.living += 1;
        self.report.living_bytes += u64::from(at.length);
        // One that takes others out of use may not know its name.
        let is_named = !head.identity.name.is_empty() || head.kind != Kind::Quarantine;
        if is_named && !self.is_name_of(&head.identity.name, key) {
            let why = format!("its name {} has another hash", head.identity.name);
            self.damaged(key, held, What::Record, why, None).await?;
        } else if head.kind == Kind::Large {
            self.report.large += 1;
            if let Some(why) = self.large_file(key, held, head).await? {
                self.damaged(key, held, What::File, why, Some(head.identity.clone())).await?;
            }
        }
        Ok(())
    }

    async fn lives(&self, key: Key, held: Held) -> std::io::Result<bool> {
        match self.store.lookup(key).await {
            // The entry was told of; what it named is not known.
            Err(error) if error.kind() == ErrorKind::InvalidData => Ok(false),
            entry => Ok(entry?.held.contains(&held)),
        }
    }

    /// What is wrong with the record that an entry names.
    pub(super) async fn record_at(&self, key: Key, held: Held, at: At) -> std::io::Result<Option<String>> {
        let volume = match self.store.log.volume(at.volume).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some("its volume is not there".to_owned())),
            volume => volume?,
        };
        let length = usize::try_from(at.length).unwrap_or(usize::MAX);
        let bytes = Source::Volume(volume).read(at.offset, length).await?;
        let spot = Spot { store: self.store.log.store(), volume: at.volume, offset: at.offset };
        Ok(match Head::decode(&bytes, spot) {
            Err(damage) => Some(damage.message),
            Ok((head, lengths)) if lengths.total() != u64::from(at.length) => {
                Some(format!("a record of {} bytes, for version {}", lengths.total(), head.version.file_name()))
            }
            Ok((head, _))
                if head.version != held.version || Key::new(head.identity.policy, head.identity.hash) != key =>
            {
                Some(format!("the record of {} {}", head.identity.name, head.version.file_name()))
            }
            Ok((head, lengths)) if head.kind == Kind::Packed => {
                let body = bytes.get(usize::try_from(lengths.head).unwrap_or(length)..).unwrap_or_default();
                verify_blocks(&head.checksums, 0, body).err().map(|damage| damage.message)
            }
            Ok((head, _)) if (head.kind == Kind::Quarantine) != held.place.is_lost() => {
                Some("a record of another kind".to_owned())
            }
            Ok(_) => None,
        })
    }

    /// Zeros are expected behind the end of the log.
    async fn tail(&mut self, number: u32, source: &Source, limit: u64, length: u64) -> std::io::Result<()> {
        let mut offset = limit;
        // Ends: every turn reads on, up to the end of the volume.
        while offset < length {
            let wanted = usize::try_from((length - offset).min(TAIL_READ_BYTES)).unwrap_or_default();
            let bytes = source.read(offset, wanted).await?;
            if let Some(position) = bytes.iter().position(|byte| *byte != 0) {
                let why = "bytes behind the end of the log: a write that was cut off".to_owned();
                let place = format!("volume {number:08x} at {}", offset + position as u64);
                self.report.tell(What::Tail, None, place, why);
                return Ok(());
            }
            if bytes.is_empty() {
                return Ok(());
            }
            offset += bytes.len() as u64;
        }
        Ok(())
    }
}

/// Where a record of this kind puts its version.
fn place_in(kind: Kind, at: At) -> Place {
    match kind {
        Kind::Packed => Place::Volume(at),
        Kind::Large => Place::Large(at),
        Kind::Quarantine => Place::Lost(at),
    }
}

/// What was seen of a volume.
#[derive(Default)]
struct Seen {
    /// All before this was a record or reported.
    end: u64,
    living: Usage,
    /// Objects of damaged records that count no more, behind the last good one.
    damaged: Vec<Key>,
}
