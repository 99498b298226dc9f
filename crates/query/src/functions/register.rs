//! Which functions a session has.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::{FunctionRegistry, SessionState};
use outcrop_engine::Engine;

use super::{
    array_items, arrays, backup, bytes, catalog, date_trunc, dates, feeds, json, maintenance, percentiles, rounding,
    session, single_row, sums,
};

/// Names of DataFusion's functions that PostgreSQL has under another name.
const ALIASES: &[(&str, &str)] = &[("char_length", "character_length"), ("sign", "signum")];
/// The same for aggregates.
const AGGREGATE_ALIASES: &[(&str, &str)] = &[("every", "bool_and"), ("variance", "var")];

/// Adds our functions; they replace those of DataFusion with the same name.
pub(crate) fn register(state: &mut SessionState, engine: &Engine) -> Result<()> {
    let rows = [session::functions(), json::functions(), catalog::functions(), dates::functions()];
    for function in rows.into_iter().flatten() {
        state.register_udf(function.into_udf())?;
    }
    for function in dates::kernels()
        .into_iter()
        .chain(rounding::functions())
        .chain(feeds::functions(engine))
        .chain(arrays::functions())
        .chain(array_items::functions())
        .chain(bytes::functions())
        .chain([date_trunc::function()])
        .chain(json::typed_functions())
        .chain(maintenance::functions(engine))
        .chain([backup::function(engine)])
    {
        state.register_udf(function)?;
    }
    for function in sums::functions().into_iter().chain(percentiles::functions()).chain([single_row::function()]) {
        state.register_udaf(function)?;
    }
    for (alias, name) in ALIASES {
        if let Ok(function) = state.udf(name)
            && !state.scalar_functions().contains_key(*alias)
        {
            state.register_udf(Arc::new(function.as_ref().clone().with_aliases([*alias])))?;
        }
    }
    for (alias, name) in AGGREGATE_ALIASES {
        if let Ok(function) = state.udaf(name)
            && !state.aggregate_functions().contains_key(*alias)
        {
            state.register_udaf(Arc::new(function.as_ref().clone().with_aliases([*alias])))?;
        }
    }
    Ok(())
}
