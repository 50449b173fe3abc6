now, wanted = input().split()
h1, m1 = map(int, now.split(":"))
h2, m2 = map(int, wanted.split(":"))
print((h2 - h1) % 24 + (m2 - m1) % 60)
