"""fastbp"""
