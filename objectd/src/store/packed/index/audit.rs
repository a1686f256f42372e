//! What a check reads of the index and sets right in it: damaged values are handed out like good ones.

use super::{Index, STATE, Usage, VOLUMES, buckets, unseal};
use crate::store::packed::bucket;
use crate::store::packed::entry::{Entry, Key};
use base::io::kv::Read;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The key of an object and its entry, or of a bucket and what is wrong with it.
pub(in crate::store::packed) type Unjudged = (Vec<u8>, Result<(Key, Entry), String>);

impl Index {
    /// Entries behind the key `from`, at most `limit`, and damaged buckets; the last key when there may be more.
    pub(in crate::store::packed) async fn entries_unjudged(
        &self,
        from: Option<Vec<u8>>,
        limit: usize,
    ) -> std::io::Result<(Vec<Unjudged>, Option<Vec<u8>>)> {
        self.kv
            .read(move |txn| {
                let mut found = Vec::new();
                let mut last = None;
                let from = from.as_deref().unwrap_or_default();
                buckets::walk(txn, Some(from).filter(|from| !from.is_empty()), &mut |(name, value)| {
                    let objects: Vec<Unjudged> = match bucket::decode(name, value) {
                        Ok(objects) => {
                            objects.into_iter().map(|object| (object.0.bytes().to_vec(), Ok(object))).collect()
                        }
                        Err(damage) => vec![(name.to_vec(), Err(damage.message))],
                    };
                    for object in objects.into_iter().filter(|(key, _)| key.as_slice() > from) {
                        last = Some(object.0.clone());
                        found.push(object);
                        if found.len() >= limit {
                            return Ok(false);
                        }
                    }
                    last = None;
                    Ok(true)
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
