//! it
#[test] fn t(){}
