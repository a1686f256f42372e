//! Core: listings as XML, as Swift's container server and its account server write it.

use super::Listing;
use crate::db::container_row::{self, ContainerRow};
use crate::db::content_type::split_shown;
use crate::db::object_row::ObjectRow;
use crate::db::pen::Pen;
use crate::db::policies::Policies;
use base::timestamp::IsoForm;
use std::io;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// What stands before the first entry.
pub(super) fn open(out: &mut Pen, listing: &Listing) {
    out.text(DECLARATION);
    match listing {
        Listing::Objects(container) => {
            out.text("<container name=\"");
            xml_attribute(out, container);
            out.text("\">");
        }
        Listing::Containers(account, _) => {
            out.text("<account name=");
            quoted_attribute(out, account);
            out.text(">\n");
        }
    }
}

/// What stands behind the last entry; all of a listing that has none.
pub(super) fn close(out: &mut Pen, listing: &Listing, has_entries: bool) {
    match listing {
        Listing::Objects(container) if !has_entries => {
            out.text(DECLARATION);
            out.text("<container name=\"");
            xml_attribute(out, container);
            out.text("\" />");
        }
        Listing::Objects(_) => out.text("</container>"),
        Listing::Containers(..) => {
            if !has_entries {
                open(out, listing);
            }
            out.text("</account>");
        }
    }
}

/// An object.
pub(super) fn object(out: &mut Pen, name: &str, value: &[u8], times: &mut IsoForm) -> io::Result<()> {
    let row = ObjectRow::decode(value)?;
    let (content_type, swift_bytes) = split_shown(row.content_type);
    let [_, _, modified] = row.times()?;
    out.text("<object><name>");
    xml_text(out, name);
    out.text("</name><hash>");
    xml_text(out, row.etag);
    out.text("</hash><bytes>");
    out.number(swift_bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or(row.size));
    out.text("</bytes><content_type>");
    xml_text(out, &content_type);
    out.text("</content_type><last_modified>");
    out.constant(times.of(modified));
    out.text("</last_modified></object>");
    Ok(())
}

/// A collapsed prefix.
pub(super) fn subdir(out: &mut Pen, name: &str, listing: &Listing) {
    match listing {
        Listing::Objects(_) => {
            out.text("<subdir name=\"");
            xml_attribute(out, name);
            out.text("\"><name>");
            xml_text(out, name);
            out.text("</name></subdir>");
        }
        Listing::Containers(..) => {
            out.text("<subdir name=");
            quoted_attribute(out, name);
            out.text(" />\n");
        }
    }
}

/// A container.
pub(super) fn container(
    out: &mut Pen,
    name: &str,
    value: &[u8],
    policies: &Policies,
    times: &mut IsoForm,
) -> io::Result<()> {
    let row = ContainerRow::decode(value)?;
    out.text("<container><name>");
    xml_text(out, name);
    out.text("</name><count>");
    out.number(row.objects);
    out.text("</count><bytes>");
    out.number(row.bytes);
    out.text("</bytes><last_modified>");
    out.constant(times.of(container_row::value(row.put)));
    out.text("</last_modified>");
    if let Some(policy) = policies.name(row.policy) {
        out.text("<storage_policy>");
        xml_text(out, policy);
        out.text("</storage_policy>");
    }
    out.text("</container>\n");
    Ok(())
}

fn xml_text(out: &mut Pen, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.text("&amp;"),
            '<' => out.text("&lt;"),
            '>' => out.text("&gt;"),
            _ => out.character(character),
        }
    }
}

/// Inside double quotes.
fn xml_attribute(out: &mut Pen, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.text("&amp;"),
            '<' => out.text("&lt;"),
            '>' => out.text("&gt;"),
            '"' => out.text("&quot;"),
            '\r' => out.text("&#13;"),
            '\n' => out.text("&#10;"),
            '\t' => out.text("&#09;"),
            _ => out.character(character),
        }
    }
}

/// With the quotes that need least escaping: the account server's habit.
fn quoted_attribute(out: &mut Pen, text: &str) {
    let quote = if text.contains('"') && !text.contains('\'') { '\'' } else { '"' };
    out.character(quote);
    for character in text.chars() {
        match character {
            '&' => out.text("&amp;"),
            '<' => out.text("&lt;"),
            '>' => out.text("&gt;"),
            '"' if quote == '"' => out.text("&quot;"),
            '\r' => out.text("&#13;"),
            '\n' => out.text("&#10;"),
            '\t' => out.text("&#9;"),
            _ => out.character(character),
        }
    }
    out.character(quote);
}
