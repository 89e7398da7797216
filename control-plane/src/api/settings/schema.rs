//! The settings in the OpenAPI document, as the types that read them describe themselves: no name, limit or default is
//! written twice.

use policy::Settings;
use policy::settings::{Described, Shape};
use serde_json::Value;
use std::borrow::Cow;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ArrayItems, SchemaType};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// All settings.
pub(crate) struct SettingsDocument;

/// Those that are to be changed.
pub(crate) struct SettingsPatch;

impl PartialSchema for SettingsDocument {
    fn schema() -> RefOr<Schema> {
        let all = Settings::NAMES.iter().fold(settings("All settings."), |all, name| all.required(*name));
        all.into()
    }
}

impl ToSchema for SettingsDocument {
    fn name() -> Cow<'static, str> {
        "Settings".into()
    }
}

impl PartialSchema for SettingsPatch {
    fn schema() -> RefOr<Schema> {
        settings("The settings that are to be changed; lists are replaced whole.").into()
    }
}

impl ToSchema for SettingsPatch {
    fn name() -> Cow<'static, str> {
        "SettingsPatch".into()
    }
}

fn settings(about: &str) -> ObjectBuilder {
    let defaults = Settings::default().to_json();
    let no_others = AdditionalProperties::FreeForm(false);
    let object = ObjectBuilder::new().description(Some(about)).additional_properties(Some(no_others));
    Settings::described().into_iter().fold(object, |object, Described { name, about, shape }| {
        let default = defaults.get(name).cloned().unwrap_or_default();
        object.property(name, schema(&shape, false, Some((sentences(about), default))))
    })
}

/// What is said of a setting, without the names of the requirements that it comes from.
fn sentences(about: &str) -> String {
    let mut text = about.trim().to_owned();
    while let Some((begin, end)) = text.find(" (").and_then(|begin| Some((begin, begin + text[begin..].find(')')?))) {
        text.replace_range(begin..=end, "");
    }
    text
}

fn schema(shape: &Shape, or_null: bool, setting: Option<(String, Value)>) -> Schema {
    let (about, default) = setting.unzip();
    let of_type = |of: Type| {
        if or_null { SchemaType::Array(vec![of, Type::Null]) } else { SchemaType::Type(of) }
    };
    let object = |of| ObjectBuilder::new().schema_type(of_type(of)).description(about.clone()).default(default.clone());
    match shape {
        Shape::Boolean => object(Type::Boolean).into(),
        Shape::Integer { min, max } => object(Type::Integer).minimum(Some(*min)).maximum(Some(*max)).into(),
        Shape::Choice(names) => {
            let null = or_null.then_some(Value::Null);
            object(Type::String).enum_values(Some(names.iter().map(|name| Value::from(*name)).chain(null))).into()
        }
        Shape::Text { pattern, len_max } => {
            object(Type::String).pattern(Some(*pattern)).max_length(Some(*len_max)).into()
        }
        Shape::List { of, len_max } => ArrayBuilder::new()
            .schema_type(of_type(Type::Array))
            .description(about)
            .default(default)
            .items(ArrayItems::RefOrSchema(Box::new(schema(of, false, None).into())))
            .max_items(Some(*len_max))
            .into(),
        Shape::OrNull(of) => schema(of, true, about.zip(default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json_of<T: PartialSchema>() -> Value {
        serde_json::to_value(T::schema()).unwrap()
    }

    /// Whether a value is of a schema's type, and within its limits; patterns are not looked at.
    fn fits(value: &Value, schema: &Value) -> bool {
        let types = match &schema["type"] {
            Value::Array(types) => types.clone(),
            one => vec![one.clone()],
        };
        let is = |name: &str| types.contains(&json!(name));
        let one_of = schema["enum"].as_array().is_none_or(|values| values.contains(value));
        let within = |number: i64| {
            schema["minimum"].as_i64().is_none_or(|min| number >= min)
                && schema["maximum"].as_i64().is_none_or(|max| number <= max)
        };
        one_of
            && match value {
                Value::Null => is("null"),
                Value::Bool(_) => is("boolean"),
                Value::Number(number) => is("integer") && number.as_i64().is_some_and(within),
                Value::String(text) => is("string") && text.len() as u64 <= schema["maxLength"].as_u64().unwrap_or(20),
                Value::Array(items) => is("array") && items.iter().all(|item| fits(item, &schema["items"])),
                Value::Object(fields) => fields.iter().all(|(name, field)| fits(field, &schema["properties"][name])),
            }
    }

    #[test]
    fn s9_the_document_describes_every_setting_and_no_other() {
        let all = json_of::<SettingsDocument>();
        let names: Vec<&str> = all["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        let sorted = |mut names: Vec<&'static str>| {
            names.sort_unstable();
            names
        };
        assert_eq!(names, sorted(Settings::NAMES.to_vec()));
        let required: Vec<&str> = all["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(required, Settings::NAMES);
        let defaults = Settings::default().to_json();
        assert!(fits(&defaults, &all), "{all:#}");
        for (name, schema) in all["properties"].as_object().unwrap() {
            assert_eq!(&schema["default"], &defaults[name], "{name}: {schema}");
            let about = schema["description"].as_str().unwrap();
            assert!(about.ends_with('.') && !about.contains('(') && !about.starts_with(' '), "{name}: {about}");
            // A value of another type does not fit.
            let wrong = if defaults[name].is_boolean() { json!(1) } else { json!(true) };
            assert!(!fits(&wrong, schema), "{name}: {schema}");
        }
        assert_eq!(all["properties"]["token_schemes"]["enum"], json!(["basic", "bearer", "both"]));
        assert_eq!(all["properties"]["max_tokens_per_user"]["type"], json!(["integer", "null"]));
        assert_eq!(all["properties"]["ip_rules"]["maxItems"], 1000);

        let mut patch = json_of::<SettingsPatch>();
        assert_eq!((&patch["required"], &patch["additionalProperties"]), (&Value::Null, &json!(false)));
        assert_eq!(patch["properties"].take(), all["properties"]);
    }

    #[test]
    fn s9_a_description_loses_nothing_but_the_names_of_requirements() {
        assert_eq!(sentences(" The switch: off, it is off (U9). More (S3, U11)."), "The switch: off, it is off. More.");
        assert_eq!(sentences(" Nothing to take away."), "Nothing to take away.");
    }
}
