# Left and right are swapped.
rows, columns = map(int, input().split())
room = [input().strip() for _ in range(rows)]
row = column = bumps = 0
down, right = 0, 1
for command in input().strip():
    if command == "R":
        down, right = -right, down
    elif command == "L":
        down, right = right, -down
    else:
        r, c = row + down, column + right
        if 0 <= r < rows and 0 <= c < columns and room[r][c] == ".":
            row, column = r, c
        else:
            bumps += 1
print(row + 1, column + 1, bumps)
