"""Tables: who will not pay back?"""
