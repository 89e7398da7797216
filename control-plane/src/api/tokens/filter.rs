//! By what tokens are listed, and deleted by the same.

use crate::api::caller::Caller;
use crate::api::error::ApiError;
use crate::api::input::bound;
use crate::permission::{Action, Permit, Whose as Relation};
use crate::store::tokens::filter::{Filter, Span, Whose};
use policy::record::limits::LABEL_CHARS_MAX;
use sea_orm::ConnectionTrait;

/// Parameters of a query with the filters among them. (Serde can flatten one structure into another, but neither refuses
/// unknown names then, nor reads numbers from a query.)
macro_rules! filter_params {
    ($(#[$attribute:meta])* pub(crate) struct $name:ident {
        $($(#[$field_attribute:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$attribute])*
        #[derive(serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub(crate) struct $name {
            /// Of this user.
            owner: Option<String>,
            /// Everyone's, unbound ones included.
            #[serde(default)]
            all: bool,
            /// With `all`: only unbound ones, or only others.
            unbound: Option<bool>,
            /// Whose label begins so, with regard to case.
            #[param(min_length = 1, max_length = 200)]
            label_prefix: Option<String>,
            /// Created then or later.
            #[param(format = DateTime)]
            created_after: Option<String>,
            /// Created earlier.
            #[param(format = DateTime)]
            created_before: Option<String>,
            /// That end then or later; not those without an end.
            #[param(format = DateTime)]
            expires_after: Option<String>,
            /// That end earlier, or have ended.
            #[param(format = DateTime)]
            expires_before: Option<String>,
            /// Last used then or later.
            #[param(format = DateTime)]
            last_used_after: Option<String>,
            /// Last used earlier; not those that were never used.
            #[param(format = DateTime)]
            last_used_before: Option<String>,
            /// Never used.
            #[serde(default)]
            never_used: bool,
            $($(#[$field_attribute])* $field: $type,)*
        }

        impl $name {
            /// The filters.
            fn filters(&self) -> $crate::api::tokens::filter::Filters<'_> {
                $crate::api::tokens::filter::Filters {
                    owner: self.owner.as_deref(),
                    all: self.all,
                    unbound: self.unbound,
                    label_prefix: self.label_prefix.as_deref(),
                    created: $crate::api::tokens::filter::Times {
                        after: ("created_after", self.created_after.as_deref()),
                        before: ("created_before", self.created_before.as_deref()),
                    },
                    expires: $crate::api::tokens::filter::Times {
                        after: ("expires_after", self.expires_after.as_deref()),
                        before: ("expires_before", self.expires_before.as_deref()),
                    },
                    last_used: $crate::api::tokens::filter::Times {
                        after: ("last_used_after", self.last_used_after.as_deref()),
                        before: ("last_used_before", self.last_used_before.as_deref()),
                    },
                    never_used: self.never_used,
                }
            }
        }
    };
}
pub(super) use filter_params;

/// Filters as they came.
pub(crate) struct Filters<'a> {
    pub(super) owner: Option<&'a str>,
    pub(super) all: bool,
    pub(super) unbound: Option<bool>,
    pub(super) label_prefix: Option<&'a str>,
    pub(super) created: Times<'a>,
    pub(super) expires: Times<'a>,
    pub(super) last_used: Times<'a>,
    pub(super) never_used: bool,
}

/// From when, and before when, each with the name of its parameter.
#[derive(Clone, Copy)]
pub(crate) struct Times<'a> {
    pub(super) after: (&'static str, Option<&'a str>),
    pub(super) before: (&'static str, Option<&'a str>),
}

impl Filters<'_> {
    /// The filter, and the proof that the caller may do this with what it finds. Where neither `owner` nor `all` is said,
    /// it finds the caller's own.
    pub(super) async fn judge(
        &self,
        db: &impl ConnectionTrait,
        caller: &Caller,
        action: Action,
    ) -> Result<(Permit, Filter), ApiError> {
        let Self { owner, all, unbound, label_prefix, created, expires, last_used, never_used } = *self;
        let bad = |sentence: String| Err(ApiError::BadRequest(sentence));
        if owner.is_some() && all {
            return bad("owner and all exclude each other.".into());
        }
        if unbound.is_some() && !all {
            return bad("unbound needs all=true: nobody's own tokens are unbound.".into());
        }
        if label_prefix.is_some_and(|prefix| !(1..=LABEL_CHARS_MAX).contains(&prefix.chars().count())) {
            return bad(format!("label_prefix must have 1 to {LABEL_CHARS_MAX} characters."));
        }
        let filter = Filter {
            label_prefix: label_prefix.map(str::to_owned),
            created: created.span()?,
            expires: expires.span()?,
            last_used: last_used.span()?,
            never_used,
            ..Filter::all_of(Whose::Any)
        };
        if never_used && filter.last_used != Span::default() {
            return bad("never_used excludes last_used_after and last_used_before.".into());
        }
        let (permit, whose) = match owner {
            _ if all => {
                let whose = match unbound {
                    Some(true) => Whose::Nobodys,
                    Some(false) => Whose::Somebodys,
                    None => Whose::Any,
                };
                (caller.may(action, Relation::Others)?, whose)
            }
            None => (caller.may(action, Relation::Own)?, Whose::Of(caller.user.id)),
            Some(name) => {
                let owner = crate::api::users::find(db, name).await;
                // Whether another user exists is for those to know who may do something about it.
                let relation = owner.as_ref().map_or(Relation::Others, |owner| caller.whose(Some(owner.id)));
                (caller.may(action, relation)?, Whose::Of(owner?.id))
            }
        };
        Ok((permit, Filter { whose, ..filter }))
    }
}

impl Times<'_> {
    fn span(self) -> Result<Span, ApiError> {
        let Self { after: (after, from), before: (before, to) } = self;
        Ok(Span { from: bound(after, from)?, before: bound(before, to)? })
    }
}
