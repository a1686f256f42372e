//! Core: which files of an object's directory count (specs: diskfile §3, replicated policies). No I/O, no clock, no async.
//!
//! A directory may hold several generations of an object: a crash, a late write or another node's copy leaves them. What counts
//! is decided by names alone, so that every node decides alike, and the same choice gives the input of the suffix hash.

use base::timestamp::{self, Timestamp};

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The object's data, if it exists.
    pub data: Option<Chosen>,
    /// The newest POST behind the data.
    pub meta: Option<Chosen>,
    /// The POST that set the content type, if it is newer than the data; may be `meta` itself.
    pub content_type: Option<ContentType>,
    /// The tombstone, if the object is deleted.
    pub tombstone: Option<Chosen>,
    /// Files that something newer replaced.
    pub obsolete: Vec<String>,
    /// Files that mean nothing alone; they go when they are old.
    pub possible_reclaim: Vec<Chosen>,
    /// Files that are none of ours; left alone.
    pub unexpected: Vec<String>,
}

/// A file and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Name in the directory.
    pub name: String,
    /// Time of its name.
    pub timestamp: Timestamp,
}

/// The file that has the content type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// Name in the directory.
    pub name: String,
    /// When the content type was set.
    pub timestamp: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Meta,
    Tombstone,
    Other,
}

#[derive(Clone, Debug)]
struct File {
    name: String,
    kind: Kind,
    timestamp: Timestamp,
    /// Only of a `.meta`: when its content type was set.
    content_type: Option<Timestamp>,
}

impl File {
    fn parse(name: &str) -> Option<File> {
        let (stem, extension) = name.rsplit_once('.')?;
        let kind = match extension {
            "data" => Kind::Data,
            "meta" => Kind::Meta,
            "ts" => Kind::Tombstone,
            _ => Kind::Other,
        };
        let (timestamp, content_type) = match kind {
            Kind::Meta => timestamp::decode(stem, true).map(|(time, content_type, _)| (time, content_type)).ok()?,
            _ => (Timestamp::parse(stem).ok()?, None),
        };
        Some(File { name: name.to_owned(), kind, timestamp, content_type })
    }

    fn chosen(&self) -> Chosen {
        Chosen { name: self.name.clone(), timestamp: self.timestamp }
    }

    fn content_type_time(&self) -> Timestamp {
        self.content_type.unwrap_or(Timestamp::ZERO)
    }
}

impl Listing {
    /// Chooses among the names of one directory.
    pub fn choose<'a>(names: impl IntoIterator<Item = &'a str>) -> Listing {
        let mut listing = Listing::default();
        let mut files = Vec::new();
        for name in names {
            match File::parse(name) {
                Some(file) => files.push(file),
                None => listing.unexpected.push(name.to_owned()),
            }
        }
        // Newest first; the names decide among equal times, so that the order of the directory does not.
        files.sort_by(|a, b| (b.timestamp, &b.name).cmp(&(a.timestamp, &a.name)));
        // A tombstone first: it replaces data of its own time, which data do not.
        for kind in [Kind::Tombstone, Kind::Data] {
            let Some(newest) = files.iter().find(|file| file.kind == kind).cloned() else { continue };
            listing.discard(&mut files, |file| file.timestamp <= newest.timestamp && file.name != newest.name);
        }
        listing.tombstone = files.iter().find(|file| file.kind == Kind::Tombstone).map(File::chosen);
        let data = files.iter().find(|file| file.kind == Kind::Data).cloned();
        let metas = listing.choose_metas(&mut files);
        let Some(data) = data else {
            listing.possible_reclaim = metas.iter().map(File::chosen).collect();
            return listing;
        };
        listing.meta = metas.first().map(File::chosen);
        listing.content_type = metas
            .last()
            .filter(|meta| meta.content_type_time() > data.timestamp)
            .map(|meta| ContentType { name: meta.name.clone(), timestamp: meta.content_type_time() });
        listing.data = Some(data.chosen());
        listing
    }

    /// At most two: the newest, and behind it one with a newer content type. Each is the greatest of an order, so that a directory that is
    /// cleaned up after every write ends as one that is looked at once. (Of POSTs of one time with different content types Swift keeps the one
    /// with the newest content type when no third is there; with a third, which one depends on its order of clean-ups.)
    fn choose_metas(&mut self, files: &mut Vec<File>) -> Vec<File> {
        let metas = || files.iter().filter(|file| file.kind == Kind::Meta);
        let newest = metas().max_by_key(|meta| (meta.timestamp, meta.content_type_time(), &meta.name));
        let best = metas().max_by_key(|meta| (meta.content_type_time(), meta.timestamp, &meta.name));
        let (Some(newest), Some(best)) = (newest, best) else { return Vec::new() };
        let chosen = match best.content_type_time() > newest.content_type_time() {
            true => vec![newest.clone(), best.clone()],
            false => vec![newest.clone()],
        };
        self.discard(files, |file| file.kind == Kind::Meta && !chosen.iter().any(|kept| kept.name == file.name));
        chosen
    }

    fn discard(&mut self, files: &mut Vec<File>, is_obsolete: impl Fn(&File) -> bool) {
        self.obsolete.extend(files.iter().filter(|file| is_obsolete(file)).map(|file| file.name.clone()));
        files.retain(|file| !is_obsolete(file));
    }

    /// Names to unlink now: the obsolete, and what is older than `reclaim_age` of tombstone and lone files. They leave the listing.
    pub fn clean_up(&mut self, now: Timestamp, reclaim_age: std::time::Duration) -> Vec<String> {
        let age = u64::try_from(reclaim_age.as_micros() / 10).unwrap_or(u64::MAX);
        let is_old = |file: &Chosen| now.raw().saturating_sub(file.timestamp.raw()) > age;
        let mut names = std::mem::take(&mut self.obsolete);
        if let Some(tombstone) = self.tombstone.take_if(|tombstone| is_old(tombstone)) {
            names.push(tombstone.name);
        }
        self.possible_reclaim.retain(|file| {
            let old = is_old(file);
            if old {
                names.push(file.name.clone());
            }
            !old
        });
        names
    }

    /// What this object adds to the MD5 of its suffix (specs: diskfile §6), after `clean_up`.
    pub fn hash_input(&self) -> String {
        let mut input = String::new();
        for (chosen, extension) in [(&self.meta, ".meta"), (&self.tombstone, ".ts"), (&self.data, ".data")] {
            if let Some(chosen) = chosen {
                input.push_str(&chosen.timestamp.internal());
                input.push_str(extension);
            }
        }
        if let Some(content_type) = &self.content_type {
            input.push_str(&content_type.timestamp.internal());
            input.push_str("_ctype");
        }
        input
    }

    /// Time of the data or the tombstone.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.data.as_ref().or(self.tombstone.as_ref()).map(|chosen| chosen.timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::checksum::md5_hex;
    use proptest::prelude::*;
    use serde_json::Value as Json;
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn strings(value: &Json) -> BTreeSet<String> {
        value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_directory_is_read_as_swift_reads_it() {
        let vectors: Json = serde_json::from_str(include_str!("vectors/listing-rules.json")).unwrap();
        let cases = vectors["replication"].as_array().unwrap();
        assert_eq!(cases.len(), 42);
        for case in cases {
            let files = strings(&case["files"]);
            let mut listing = Listing::choose(files.iter().map(String::as_str));
            let name = |chosen: &Option<Chosen>| chosen.as_ref().map(|chosen| chosen.name.clone());
            let content_type = listing.content_type.as_ref().map(|chosen| chosen.name.clone());
            for (found, key) in [
                (name(&listing.data), "data_file"),
                (name(&listing.meta), "meta_file"),
                (content_type, "ctype_file"),
                (name(&listing.tombstone), "ts_file"),
            ] {
                assert_eq!(found.as_deref(), case[key].as_str(), "{key} of {case}");
            }
            assert_eq!(listing.obsolete.iter().cloned().collect::<BTreeSet<_>>(), strings(&case["obsolete"]), "{case}");
            let reclaim: BTreeSet<_> = listing.possible_reclaim.iter().map(|file| file.name.clone()).collect();
            assert_eq!(reclaim, strings(&case["possible_reclaim"]), "{case}");
            assert_eq!(
                listing.unexpected.iter().cloned().collect::<BTreeSet<_>>(),
                strings(&case["unexpected"]),
                "{case}"
            );

            let now = Timestamp::parse("1700000000").unwrap();
            let removed: BTreeSet<_> = listing.clean_up(now, Duration::from_secs(604_800)).into_iter().collect();
            let left: BTreeSet<_> = files.difference(&removed).cloned().collect();
            assert_eq!(left, strings(&case["left_after_cleanup"]), "{case}");
            if !left.is_empty() {
                assert_eq!(
                    Some(md5_hex(listing.hash_input().as_bytes()).as_str()),
                    case["suffix_hash"].as_str(),
                    "{case}"
                );
            }
        }
    }

    /// A name as a writer makes it: a POST's content type is never newer than the POST.
    fn any_name() -> impl Strategy<Value = String> {
        let time = |raw| Timestamp::from_raw(raw, 0);
        (0_u8..8, 1_u64..6, proptest::option::of(1_u64..6)).prop_map(move |(kind, raw, content_type)| match kind {
            0 => format!("{}.data", time(raw).internal()),
            1 => format!("{}.ts", time(raw).internal()),
            _ => match content_type.filter(|content_type| *content_type <= raw) {
                Some(at) => format!("{}.meta", timestamp::encode(time(raw), Some(time(at)), None, true)),
                None => format!("{}.meta", time(raw).internal()),
            },
        })
    }

    /// What a reader sees of a directory.
    fn shown(names: &[String]) -> [Option<String>; 4] {
        let listing = Listing::choose(names.iter().map(String::as_str));
        let name = |chosen: Option<Chosen>| chosen.map(|chosen| chosen.name);
        let content_type = listing.content_type.map(|chosen| chosen.name);
        [name(listing.data), name(listing.meta), content_type, name(listing.tombstone)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_directory_that_is_cleaned_up_after_every_write_shows_what_it_shows_at_once(
            names in proptest::collection::vec(any_name(), 1..7),
        ) {
            let mut kept: Vec<String> = Vec::new();
            for name in &names {
                kept.push(name.clone());
                let obsolete = Listing::choose(kept.iter().map(String::as_str)).obsolete;
                kept.retain(|name| !obsolete.contains(name));
            }
            prop_assert_eq!(shown(&kept), shown(&names), "{:?}", names);
        }
    }

    #[test]
    fn of_posts_of_one_time_the_one_with_the_newest_content_type_stays_also_beside_a_third() {
        let time = |raw| Timestamp::from_raw(raw, 0);
        let meta = |raw, content_type: Option<u64>| match content_type {
            Some(at) => format!("{}.meta", timestamp::encode(time(raw), Some(time(at)), None, true)),
            None => format!("{}.meta", time(raw).internal()),
        };
        let (without, with, third) = (meta(9, None), meta(9, Some(5)), meta(8, Some(7)));
        let names = [without, with.clone(), third.clone(), format!("{}.data", time(1).internal())];
        let [_, newest, content_type, _] = shown(&names);
        assert_eq!((newest, content_type), (Some(with), Some(third)));
    }
}
