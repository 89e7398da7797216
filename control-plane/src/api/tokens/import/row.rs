//! A token as a line of the file has it, as far as that can be judged by itself.

use super::super::make::{ChosenValue, Material, sha256_of};
use super::super::validity::Wanted;
use super::super::{check_ip_ranges, check_label};
use crate::App;
use crate::api::error::ApiError;
use crate::api::input::time;
use policy::credential::Secret;
use policy::problem::{Fault, Place};
use policy::record::folded;
use policy::record::limits::USER_NAME_LEN_MAX;
use policy::restrictions::Set;
use policy::settings::Validity;
use policy::{IpRule, KeyedHash, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// What a line can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Token,
    Sha256,
    Label,
    Owner,
    Unbound,
    ValidFrom,
    ExpiresAt,
    Validity,
    Scope,
    IpRanges,
    Restrictions,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Token,
        Self::Sha256,
        Self::Label,
        Self::Owner,
        Self::Unbound,
        Self::ValidFrom,
        Self::ExpiresAt,
        Self::Validity,
        Self::Scope,
        Self::IpRanges,
        Self::Restrictions,
    ];

    /// The name by which a file has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Sha256 => "sha256",
            Self::Label => "label",
            Self::Owner => "owner",
            Self::Unbound => "unbound",
            Self::ValidFrom => "valid_from",
            Self::ExpiresAt => "expires_at",
            Self::Validity => "validity",
            Self::Scope => "scope",
            Self::IpRanges => "ip_ranges",
            Self::Restrictions => "restrictions",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    /// All names, for people.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The name of one that there is not, as it is told beside those that there are: unless it is long enough to be a token,
    /// as in a file whose first line is one of those with tokens.
    pub(super) fn unknown(name: &str) -> String {
        let names = Self::names();
        match name.len() < ChosenValue::IMPORTED_LEN_MIN {
            true => format!("{name:?}; there are {names}"),
            false => format!("one of {} characters; there are {names}", name.chars().count()),
        }
    }
}

/// What stands in a column of a line. An empty text is nothing.
pub(super) enum Cell {
    Nothing,
    Flag(bool),
    Text(Zeroizing<String>),
    List(Vec<String>),
}

/// For tests: what is read here may be a token.
impl fmt::Debug for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => formatter.write_str("nothing"),
            Self::Flag(flag) => flag.fmt(formatter),
            Self::Text(text) if cfg!(test) => (**text).fmt(formatter),
            Self::List(texts) if cfg!(test) => texts.fmt(formatter),
            Self::Text(_) | Self::List(_) => formatter.write_str("…"),
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    column: Option<Column>,
    /// As a part of a sentence that begins with the column, or the line.
    pub(super) detail: String,
    /// Where in the text of the column.
    place: Option<Place>,
}

impl Wrong {
    pub(super) fn of_line(detail: impl Into<String>) -> Self {
        Self { column: None, detail: detail.into(), place: None }
    }

    pub(super) fn of(column: Column, detail: impl Into<String>) -> Self {
        Self { column: Some(column), detail: detail.into(), place: None }
    }

    /// The same of the line that names the columns.
    pub(super) fn of_first_line(&self) -> String {
        format!("The first line of the file {}.", self.detail)
    }

    /// As it is answered: `#/17/owner` is the owner in line 17 of the file.
    pub(super) fn at(self, line: u64) -> Fault {
        let Self { column, detail, place } = self;
        match column {
            None => Fault { detail: format!("{detail}."), pointer: format!("#/{line}"), place },
            Some(column) => {
                let name = column.name();
                Fault { detail: format!("{name} {detail}."), pointer: format!("#/{line}/{name}"), place }
            }
        }
    }
}

/// A token to be taken over, as it waits in the spool: of the token itself there is its keyed hash, and in standard mode
/// what is sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    /// In the file.
    pub(super) line: u64,
    pub(super) public_id: String,
    pub(super) hash: KeyedHash,
    pub(super) label: String,
    /// Name or e-mail address, [`folded`]; `None`: unbound.
    pub(super) owner: Option<String>,
    pub(super) valid_from: Option<Timestamp>,
    pub(super) wanted: Wanted,
    pub(super) read_only: bool,
    pub(super) ip_ranges: Vec<IpRule>,
    /// As a [`Set`] writes them.
    pub(super) restrictions: Option<String>,
    pub(super) recoverable: Option<Vec<u8>>,
}

impl Row {
    /// Reads the cells of a line; else all that is wrong with the first cell that is.
    pub(super) fn read(app: &App, line: u64, cells: Vec<(Column, Cell)>) -> Result<Self, Vec<Wrong>> {
        let mut cells = Cells(cells);
        let one = |wrong| vec![wrong];
        let Material { public_id, hash, recoverable, secret: _, imported: _ } = cells.material(app).map_err(one)?;
        let label = cells.label().map_err(one)?;
        let owner = cells.owner().map_err(one)?;
        let valid_from = cells.time(Column::ValidFrom).map_err(one)?;
        let wanted = cells.wanted().map_err(one)?;
        let read_only = cells.read_only().map_err(one)?;
        let ip_ranges = cells.ip_ranges().map_err(one)?;
        let restrictions = cells.restrictions()?;
        Ok(Self {
            line,
            public_id,
            hash,
            label,
            owner,
            valid_from,
            wanted,
            read_only,
            ip_ranges,
            restrictions,
            recoverable,
        })
    }
}

/// The cells of a line that are yet to be read.
struct Cells(Vec<(Column, Cell)>);

impl Cells {
    fn take(&mut self, column: Column) -> Cell {
        let at = self.0.iter().position(|(there, _)| *there == column);
        let cell = at.map_or(Cell::Nothing, |at| self.0.swap_remove(at).1);
        match cell {
            Cell::Text(text) if text.is_empty() => Cell::Nothing,
            cell => cell,
        }
    }

    fn text(&mut self, column: Column) -> Result<Option<Zeroizing<String>>, Wrong> {
        match self.take(column) {
            Cell::Nothing => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            Cell::Flag(_) | Cell::List(_) => Err(Wrong::of(column, "must be a text")),
        }
    }

    /// The token: its value never goes further than this.
    fn material(&mut self, app: &App) -> Result<Material, Wrong> {
        let material = match (self.text(Column::Token)?, self.text(Column::Sha256)?) {
            (Some(value), None) => {
                let secret = Secret::new(value.as_bytes().to_vec());
                let value = ChosenValue::read(secret, ChosenValue::IMPORTED_LEN_MIN);
                Material::chosen(app, value.map_err(|must| Wrong::of(Column::Token, must))?)
            }
            (None, Some(hex)) => {
                Material::hashed(app, sha256_of(&hex).map_err(|must| Wrong::of(Column::Sha256, must))?)
            }
            (Some(_), Some(_)) => return Err(Wrong::of_line("has both a token and a sha256")),
            (None, None) => return Err(Wrong::of_line("has neither a token nor a sha256")),
        };
        material.map_err(|error| {
            tracing::error!(?error, "a token cannot be taken over");
            Wrong::of_line("could not be worked on; the log says why")
        })
    }

    fn label(&mut self) -> Result<String, Wrong> {
        let label = self.text(Column::Label)?.map(|label| label.trim().to_owned()).unwrap_or_default();
        check_label(&label).map_err(|error| of(Column::Label, error))?;
        Ok(label)
    }

    fn owner(&mut self) -> Result<Option<String>, Wrong> {
        let unbound = match self.take(Column::Unbound) {
            Cell::Nothing => false,
            Cell::Flag(flag) => flag,
            Cell::Text(text) if *text == "true" => true,
            Cell::Text(text) if *text == "false" => false,
            Cell::Text(_) | Cell::List(_) => return Err(Wrong::of(Column::Unbound, "must be true or false")),
        };
        match (self.text(Column::Owner)?, unbound) {
            (Some(_), true) => Err(Wrong::of(Column::Owner, "is named, and the token is to be unbound")),
            (None, true) => Ok(None),
            (Some(name), false) if name.len() <= USER_NAME_LEN_MAX => Ok(Some(folded(&name))),
            (Some(_), false) => Err(Wrong::of(Column::Owner, "is longer than a name may be")),
            // Not the caller: nobody means to take a thousand tokens for one's own by leaving out a column.
            (None, false) => Err(Wrong::of(Column::Owner, "is missing, and the token is not to be unbound")),
        }
    }

    fn time(&mut self, column: Column) -> Result<Option<Timestamp>, Wrong> {
        let text = self.text(column)?;
        text.map(|text| time(column.name(), &text).map_err(|error| of(column, error))).transpose()
    }

    fn wanted(&mut self) -> Result<Wanted, Wrong> {
        match (self.time(Column::ExpiresAt)?, self.text(Column::Validity)?) {
            (Some(_), Some(_)) => Err(Wrong::of(Column::Validity, "and expires_at exclude each other")),
            (Some(end), None) => Ok(Wanted::Until(end)),
            (None, None) => Ok(Wanted::TheLongest),
            (None, Some(text)) => match Validity::try_from(text.as_str()) {
                Ok(validity) => Ok(Wanted::For(validity)),
                Err(must) => Err(Wrong::of(Column::Validity, must)),
            },
        }
    }

    fn read_only(&mut self) -> Result<bool, Wrong> {
        match self.text(Column::Scope)?.as_deref().map(String::as_str) {
            None | Some("full") => Ok(false),
            Some("read_only") => Ok(true),
            Some(_) => Err(Wrong::of(Column::Scope, "must be full or read_only")),
        }
    }

    fn ip_ranges(&mut self) -> Result<Vec<IpRule>, Wrong> {
        let texts: Vec<String> = match self.take(Column::IpRanges) {
            Cell::Nothing => Vec::new(),
            // A cell of a table is a text.
            Cell::Text(text) => {
                let separated = text.split([',', ';', ' ', '\n']).filter(|rule| !rule.is_empty());
                separated.map(str::to_owned).collect()
            }
            Cell::List(texts) => texts,
            Cell::Flag(_) => return Err(Wrong::of(Column::IpRanges, "must be a list of texts")),
        };
        let rule = |(text, number): (String, usize)| {
            text.parse().map_err(|error| Wrong::of(Column::IpRanges, format!("{number} {error}")))
        };
        let rules: Vec<IpRule> = texts.into_iter().zip(1..).map(rule).collect::<Result<_, _>>()?;
        check_ip_ranges(&rules).map_err(|error| of(Column::IpRanges, error))?;
        Ok(rules)
    }

    fn restrictions(&mut self) -> Result<Option<String>, Vec<Wrong>> {
        let set = match self.take(Column::Restrictions) {
            Cell::Nothing => return Ok(None),
            Cell::Text(text) => Set::parse(&[text.as_str()]),
            Cell::List(texts) => Set::parse(&texts),
            Cell::Flag(_) => return Err(vec![Wrong::of(Column::Restrictions, "must be a list of texts")]),
        };
        let wrong = |error: policy::restrictions::SyntaxError| Wrong {
            column: Some(Column::Restrictions),
            detail: match error.too_costly {
                true => format!("would take a proxy too long: {error}"),
                false => format!("cannot be read: {error}"),
            },
            place: Some(Place { line: error.line, column: error.column }),
        };
        let set = set.map_err(|errors| errors.into_iter().map(wrong).collect::<Vec<_>>())?;
        Ok(set.as_ref().map(Set::to_string))
    }
}

/// A refusal of the rules that hold for one token, too, without the name of the column at its beginning.
fn of(column: Column, error: ApiError) -> Wrong {
    let sentence = match error {
        ApiError::BadRequest(sentence) => sentence,
        _ => "cannot be".into(),
    };
    let detail = sentence.strip_prefix(column.name()).unwrap_or(&sentence);
    Wrong::of(column, detail.trim().trim_end_matches('.'))
}
