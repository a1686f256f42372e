//! Core: the `.builder` file: a builder as the dict that Swift's tool pickles, field for field.

use super::pickle::{self, Pickled};
use super::{Builder, BuilderDevice, BuilderError, NONE, TierName};
use crate::ring::Device;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub(super) fn read(bytes: &[u8]) -> Result<Builder, BuilderError> {
    let fields = Fields::of(pickle::load(bytes)?).ok_or_else(|| BuilderError::new("this is no builder file"))?;
    let part_power = fields.unsigned("part_power")?;
    let part_power = u32::try_from(part_power).unwrap_or(u32::MAX);
    let mut builder = Builder::new(part_power, fields.float("replicas")?, fields.unsigned("min_part_hours")?)?;
    builder.next_part_power = fields.optional("next_part_power").and_then(unsigned).map(|power| power as u32);
    builder.devices_changed = fields.optional("devs_changed") == Some(&Pickled::Bool(true));
    builder.version = fields.unsigned("version")? as i64;
    builder.overload = fields.float("overload").unwrap_or(0.0);
    builder.dispersion = fields.float("dispersion").unwrap_or(0.0);
    builder.id = fields.optional("id").and_then(text);
    builder.last_moves_epoch = fields.optional("_last_part_moves_epoch").and_then(unsigned).unwrap_or(0);
    if let Pickled::List(devices) = fields.required("devs")? {
        builder.devices = devices.iter().enumerate().map(read_device).collect::<Result<_, _>>()?;
    }
    if let Some(Pickled::List(rows)) = fields.optional("_replica2part2dev") {
        builder.rows = rows.iter().map(read_row).collect::<Option<_>>().ok_or_else(|| damaged("_replica2part2dev"))?;
        builder.ever_rebalanced = true;
    }
    if let Some(Pickled::Array(_, moves)) = fields.optional("_last_part_moves") {
        let hours = moves.iter().map(|hours| u8::try_from(*hours).unwrap_or(u8::MAX));
        builder.last_moves = hours.collect();
    }
    if builder.last_moves.len() as u64 != builder.parts() {
        return Err(damaged("_last_part_moves"));
    }
    if builder.rows.iter().any(|row| row.len() as u64 > builder.parts()) || builder.rows.len() > ROWS_MAX {
        return Err(damaged("_replica2part2dev"));
    }
    if let Some(Pickled::List(removed)) = fields.optional("_remove_devs") {
        let ids = removed.iter().filter_map(|device| Fields::of(device.clone())?.unsigned("id").ok());
        builder.removed =
            ids.filter_map(|id| u32::try_from(id).ok()).filter(|id| builder.device(*id).is_some()).collect();
    }
    if let Some(Pickled::Dict(graph)) = fields.optional("_dispersion_graph") {
        builder.graph =
            graph.iter().filter_map(|(tier, counts)| Some((read_tier(tier)?, read_counts(counts)?))).collect();
    }
    Ok(builder)
}

pub(super) fn write(builder: &Builder) -> Vec<u8> {
    let int = |number: u64| Pickled::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let typecode = if builder.device_id_bytes() == 2 { 'H' } else { 'I' };
    // Python's mark of "no device" depends on the width.
    let id_of = |id: &u32| if *id == NONE && typecode == 'H' { u32::from(u16::MAX) } else { *id };
    let rows = builder.rows.iter().map(|row| Pickled::Array(typecode, row.iter().map(id_of).collect())).collect();
    let devices = builder.devices.iter().map(|device| device.as_ref().map_or(Pickled::None, write_device));
    let removed = builder.removed.iter().filter_map(|id| builder.device(*id)).map(write_device);
    let graph = builder.graph.iter().map(|(tier, counts)| {
        let names = tier.iter().map(|name| match name {
            TierName::Number(number) => int(u64::from(*number)),
            TierName::Ip(ip) => Pickled::Text(ip.clone()),
        });
        (Pickled::Tuple(names.collect()), Pickled::List(counts.iter().map(|count| int(*count)).collect()))
    });
    let moves = builder.last_moves.iter().map(|hours| u32::from(*hours)).collect();
    let fields = [
        ("part_power", int(u64::from(builder.part_power))),
        ("next_part_power", builder.next_part_power.map_or(Pickled::None, |power| int(u64::from(power)))),
        ("replicas", Pickled::Float(builder.replicas)),
        ("min_part_hours", int(builder.min_part_hours)),
        ("parts", int(builder.parts())),
        ("devs", Pickled::List(devices.collect())),
        ("devs_changed", Pickled::Bool(builder.devices_changed)),
        ("dev_id_bytes", int(u64::from(builder.device_id_bytes()))),
        ("version", Pickled::Int(builder.version)),
        ("overload", Pickled::Float(builder.overload)),
        ("_replica2part2dev", if builder.ever_rebalanced { Pickled::List(rows) } else { Pickled::None }),
        ("_last_part_moves_epoch", int(builder.last_moves_epoch)),
        ("_last_part_moves", Pickled::Array('B', moves)),
        ("_last_part_gather_start", int(0)),
        ("_dispersion_graph", Pickled::Dict(graph.collect())),
        ("dispersion", Pickled::Float(builder.dispersion)),
        ("_remove_devs", Pickled::List(removed.collect())),
        ("id", builder.id.clone().map_or(Pickled::None, Pickled::Text)),
    ];
    pickle::dump(&Pickled::Dict(fields.into_iter().map(|(name, value)| (Pickled::Text(name.into()), value)).collect()))
}

/// A dict with text keys.
struct Fields(BTreeMap<String, Pickled>);

impl Fields {
    fn of(value: Pickled) -> Option<Fields> {
        let Pickled::Dict(pairs) = value else { return None };
        let named = pairs.into_iter().map(|(name, value)| Some((text(&name)?, value)));
        named.collect::<Option<_>>().map(Fields)
    }
    fn optional(&self, name: &str) -> Option<&Pickled> {
        self.0.get(name)
    }
    fn required(&self, name: &str) -> Result<&Pickled, BuilderError> {
        self.optional(name).ok_or_else(|| damaged(name))
    }
    fn unsigned(&self, name: &str) -> Result<u64, BuilderError> {
        self.optional(name).and_then(unsigned).ok_or_else(|| damaged(name))
    }
    fn float(&self, name: &str) -> Result<f64, BuilderError> {
        match self.optional(name) {
            Some(Pickled::Float(number)) => Ok(*number),
            Some(Pickled::Int(number)) => Ok(*number as f64),
            _ => Err(damaged(name)),
        }
    }
}

fn read_device((at, value): (usize, &Pickled)) -> Result<Option<BuilderDevice>, BuilderError> {
    if *value == Pickled::None {
        return Ok(None);
    }
    let Pickled::Dict(pairs) = value else { return Err(damaged("devs")) };
    let mut fields: Map<String, Value> = Map::new();
    for (name, value) in pairs {
        fields.insert(text(name).ok_or_else(|| damaged("devs"))?, to_json(value).ok_or_else(|| damaged("devs"))?);
    }
    let parts = fields.remove("parts").and_then(|parts| parts.as_u64()).unwrap_or(0);
    let wanted = fields.remove("parts_wanted").and_then(|wanted| wanted.as_f64()).unwrap_or(0.0);
    let device = Device::from_json(at, &Value::Object(fields.clone()))?;
    if !device.weight.is_finite() || device.weight < 0.0 {
        return Err(damaged("devs"));
    }
    let mut device = BuilderDevice { device, parts, parts_wanted: wanted as i64, unknown: Map::new() };
    let known = device.to_json();
    fields.retain(|name, _| known.get(name).is_none());
    device.unknown = fields;
    Ok(Some(device))
}

fn write_device(device: &BuilderDevice) -> Pickled {
    let mut fields = device.to_json();
    if let Value::Object(fields) = &mut fields {
        fields.insert("parts".into(), device.parts.into());
        fields.insert("parts_wanted".into(), device.parts_wanted.into());
    }
    from_json(&fields)
}

fn read_row(row: &Pickled) -> Option<Vec<u32>> {
    let Pickled::Array(typecode, ids) = row else { return None };
    let none = if *typecode == 'H' { u32::from(u16::MAX) } else { NONE };
    Some(ids.iter().map(|id| if *id == none { NONE } else { *id }).collect())
}

fn read_tier(tier: &Pickled) -> Option<Vec<TierName>> {
    let Pickled::Tuple(names) = tier else { return None };
    let names = names.iter().map(|name| match name {
        Pickled::Text(ip) => Some(TierName::Ip(ip.clone())),
        number => u32::try_from(unsigned(number)?).ok().map(TierName::Number),
    });
    names.collect()
}

fn read_counts(counts: &Pickled) -> Option<Vec<u64>> {
    let Pickled::List(counts) = counts else { return None };
    counts.iter().map(unsigned).collect()
}

fn to_json(value: &Pickled) -> Option<Value> {
    Some(match value {
        Pickled::None => Value::Null,
        Pickled::Bool(value) => (*value).into(),
        Pickled::Int(value) => (*value).into(),
        Pickled::Float(value) => (*value).into(),
        Pickled::Text(value) => value.as_str().into(),
        Pickled::List(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        Pickled::Tuple(_) | Pickled::Dict(_) | Pickled::Array(..) => return None,
    })
}

fn from_json(value: &Value) -> Pickled {
    match value {
        Value::Null => Pickled::None,
        Value::Bool(value) => Pickled::Bool(*value),
        Value::Number(number) => number.as_i64().map_or(Pickled::Float(number.as_f64().unwrap_or(0.0)), Pickled::Int),
        Value::String(text) => Pickled::Text(text.clone()),
        Value::Array(items) => Pickled::List(items.iter().map(from_json).collect()),
        Value::Object(fields) => {
            Pickled::Dict(fields.iter().map(|(name, value)| (Pickled::Text(name.clone()), from_json(value))).collect())
        }
    }
}

fn unsigned(value: &Pickled) -> Option<u64> {
    match value {
        Pickled::Int(number) => u64::try_from(*number).ok(),
        Pickled::Float(number) if (0.0..9e15).contains(number) => Some(*number as u64),
        _ => None,
    }
}

fn text(value: &Pickled) -> Option<String> {
    match value {
        Pickled::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn damaged(name: &str) -> BuilderError {
    BuilderError::new(format!("the builder file has no usable {name}"))
}

const ROWS_MAX: usize = 256;
