-- PostgreSQL decides by how often words occur whether it reads hits or the order of starts; only SQLite's index of words is made anew.
SELECT 1;
