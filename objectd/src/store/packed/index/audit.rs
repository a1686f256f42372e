//! What a check reads of the index and sets right in it: damaged values are handed out like good ones.

use super::{ENTRIES, Index, STATE, Usage, VOLUMES, unseal};
use crate::store::packed::entry::{Entry, Key};
use base::io::kv::Read;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A key as the index has it, and its entry or what is wrong with it.
pub(in crate::store::packed) type Unjudged = (Vec<u8>, Result<(Key, Entry), String>);

impl Index {
    /// Entries behind the key `from`, at most `limit`, damaged ones too; the last key when there may be more.
    pub(in crate::store::packed) async fn entries_unjudged(
        &self,
        from: Option<Vec<u8>>,
        limit: usize,
    ) -> std::io::Result<(Vec<Unjudged>, Option<Vec<u8>>)> {
        self.kv
            .read(move |txn| {
                let mut found = Vec::new();
                let mut last = None;
                let start = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                txn.scan(ENTRIES, start, Bound::Unbounded, false, &mut |(name, value)| {
                    let entry = match Key::from_bytes(name) {
                        Some(key) => {
                            Entry::decode(&key, value).map(|entry| (key, entry)).map_err(|damage| damage.message)
                        }
                        None => Err("no key".to_owned()),
                    };
                    found.push((name.to_vec(), entry));
                    last = (found.len() >= limit).then(|| name.to_vec());
                    Ok(last.is_none())
                })?;
                Ok((found, last))
            })
            .await
    }

    /// What is wrong with what the index says of itself.
    pub(in crate::store::packed) async fn judge_state(&self) -> std::io::Result<Vec<String>> {
        self.kv
            .read(|txn| {
                let mut wrong = Vec::new();
                txn.scan(STATE, Bound::Unbounded, Bound::Unbounded, false, &mut |(name, value)| {
                    if unseal(name, value).is_err() {
                        wrong.push(String::from_utf8_lossy(name).into_owned());
                    }
                    Ok(true)
                })?;
                Ok(wrong)
            })
            .await
    }

    /// Sets what is alive in volumes to what was counted.
    pub(in crate::store::packed) async fn correct_usages(&self, counted: BTreeMap<u32, Usage>) -> std::io::Result<()> {
        self.kv
            .write(move |txn| {
                for (volume, usage) in &counted {
                    let value = [usage.live_bytes.to_le_bytes(), usage.live_records.to_le_bytes()].concat();
                    txn.put(VOLUMES, &volume.to_be_bytes(), &value)?;
                }
                Ok(())
            })
            .await
    }

    /// Changes one bit of the value of some row; answers whether there is one.
    #[cfg(test)]
    pub(in crate::store::packed) async fn flip(&self, table: usize, row: usize, bit: usize) -> bool {
        let table = base::io::kv::Table(table);
        let flip = move |txn: &mut base::io::kv::WriteTxn<'_>| {
            let mut rows = Vec::new();
            txn.scan(table, Bound::Unbounded, Bound::Unbounded, false, &mut |(name, value)| {
                rows.push((name.to_vec(), value.to_vec()));
                Ok(true)
            })?;
            if rows.is_empty() {
                return Ok(false);
            }
            let (name, mut value) = rows.swap_remove(row % rows.len());
            let bit = bit % (value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            txn.put(table, &name, &value)?;
            Ok(true)
        };
        self.kv.write(flip).await.unwrap()
    }
}
