//! What runs beside requests.
