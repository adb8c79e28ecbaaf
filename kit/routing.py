def test(): return True
