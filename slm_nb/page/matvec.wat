;; Products of a matrix with one or several vectors, four rows at a time.
;;
;; All pointers and strides are in bytes. The rows are padded with zeros to a multiple of 4, and
;; the columns to a multiple of 4 (float32) or 16 (int8), so that no loop needs a remainder.
;; The four rows of a group are interleaved: 16 bytes of the first, 16 of the second, and so on.
;; Memory is then read from front to back, which is its fastest way. A group is multiplied with
;; all n vectors before the next group is read.

(module
  (import "slm" "memory" (memory 1))

  ;; y[v][row] = sum over the columns of w[row][column] * x[v][column], in float32
  (func (export "matmul_f32")
    (param $w i32) (param $stride i32) (param $rows i32) (param $columns i32)
    (param $x i32) (param $x_stride i32) (param $y i32) (param $y_stride i32) (param $n i32)
    (local $x_row i32) (local $y_row i32) (local $v i32)
    (local $at i32) (local $p i32) (local $end i32) (local $vector v128)
    (local $sum_a v128) (local $sum_b v128) (local $sum_c v128) (local $sum_d v128)
    (loop $next_rows
      (local.set $x_row (local.get $x))
      (local.set $y_row (local.get $y))
      (local.set $v (local.get $n))
      (loop $next_vector
        (local.set $at (local.get $w))
        (local.set $p (local.get $x_row))
        (local.set $end
          (i32.add (local.get $p) (i32.shl (local.get $columns) (i32.const 2))))
        (local.set $sum_a (v128.const i32x4 0 0 0 0))
        (local.set $sum_b (v128.const i32x4 0 0 0 0))
        (local.set $sum_c (v128.const i32x4 0 0 0 0))
        (local.set $sum_d (v128.const i32x4 0 0 0 0))
        (loop $next_columns
          (local.set $vector (v128.load (local.get $p)))
          (local.set $sum_a (f32x4.add (local.get $sum_a)
            (f32x4.mul (v128.load (local.get $at)) (local.get $vector))))
          (local.set $sum_b (f32x4.add (local.get $sum_b)
            (f32x4.mul (v128.load offset=16 (local.get $at)) (local.get $vector))))
          (local.set $sum_c (f32x4.add (local.get $sum_c)
            (f32x4.mul (v128.load offset=32 (local.get $at)) (local.get $vector))))
          (local.set $sum_d (f32x4.add (local.get $sum_d)
            (f32x4.mul (v128.load offset=48 (local.get $at)) (local.get $vector))))
          (local.set $at (i32.add (local.get $at) (i32.const 64)))
          (local.set $p (i32.add (local.get $p) (i32.const 16)))
          (br_if $next_columns (i32.lt_u (local.get $p) (local.get $end))))
        ;; each row has four partial sums: (0 + 2) of each row, (1 + 3) of each row, their sum
        (local.set $sum_a (f32x4.add
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
            (local.get $sum_a) (local.get $sum_b))
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
            (local.get $sum_a) (local.get $sum_b))))
        (local.set $sum_c (f32x4.add
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
            (local.get $sum_c) (local.get $sum_d))
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
            (local.get $sum_c) (local.get $sum_d))))
        (v128.store (local.get $y_row) (f32x4.add
          (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
            (local.get $sum_a) (local.get $sum_c))
          (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31
            (local.get $sum_a) (local.get $sum_c))))
        (local.set $x_row (i32.add (local.get $x_row) (local.get $x_stride)))
        (local.set $y_row (i32.add (local.get $y_row) (local.get $y_stride)))
        (local.set $v (i32.sub (local.get $v) (i32.const 1)))
        (br_if $next_vector (local.get $v)))
      (local.set $w (i32.add (local.get $w) (i32.shl (local.get $stride) (i32.const 2))))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 4)))
      (br_if $next_rows (i32.gt_s (local.get $rows) (i32.const 0)))))

  ;; the same with w in int8, x in int16 and the exact sums y in int32
  (func (export "matmul_i8")
    (param $w i32) (param $stride i32) (param $rows i32) (param $columns i32)
    (param $x i32) (param $x_stride i32) (param $y i32) (param $y_stride i32) (param $n i32)
    (local $x_row i32) (local $y_row i32) (local $v i32)
    (local $at i32) (local $p i32) (local $end i32) (local $low v128) (local $high v128) (local $row v128)
    (local $sum_a v128) (local $sum_b v128) (local $sum_c v128) (local $sum_d v128)
    (loop $next_rows
      (local.set $x_row (local.get $x))
      (local.set $y_row (local.get $y))
      (local.set $v (local.get $n))
      (loop $next_vector
        (local.set $at (local.get $w))
        (local.set $p (local.get $x_row))
        (local.set $end
          (i32.add (local.get $p) (i32.shl (local.get $columns) (i32.const 1))))
        (local.set $sum_a (v128.const i32x4 0 0 0 0))
        (local.set $sum_b (v128.const i32x4 0 0 0 0))
        (local.set $sum_c (v128.const i32x4 0 0 0 0))
        (local.set $sum_d (v128.const i32x4 0 0 0 0))
        (loop $next_columns
          (local.set $low (v128.load (local.get $p)))
          (local.set $high (v128.load offset=16 (local.get $p)))
          (local.set $row (v128.load (local.get $at)))
          (local.set $sum_a (i32x4.add (local.get $sum_a) (i32x4.add
            (i32x4.dot_i16x8_s (i16x8.extend_low_i8x16_s (local.get $row)) (local.get $low))
            (i32x4.dot_i16x8_s (i16x8.extend_high_i8x16_s (local.get $row)) (local.get $high)))))
          (local.set $row (v128.load offset=16 (local.get $at)))
          (local.set $sum_b (i32x4.add (local.get $sum_b) (i32x4.add
            (i32x4.dot_i16x8_s (i16x8.extend_low_i8x16_s (local.get $row)) (local.get $low))
            (i32x4.dot_i16x8_s (i16x8.extend_high_i8x16_s (local.get $row)) (local.get $high)))))
          (local.set $row (v128.load offset=32 (local.get $at)))
          (local.set $sum_c (i32x4.add (local.get $sum_c) (i32x4.add
            (i32x4.dot_i16x8_s (i16x8.extend_low_i8x16_s (local.get $row)) (local.get $low))
            (i32x4.dot_i16x8_s (i16x8.extend_high_i8x16_s (local.get $row)) (local.get $high)))))
          (local.set $row (v128.load offset=48 (local.get $at)))
          (local.set $sum_d (i32x4.add (local.get $sum_d) (i32x4.add
            (i32x4.dot_i16x8_s (i16x8.extend_low_i8x16_s (local.get $row)) (local.get $low))
            (i32x4.dot_i16x8_s (i16x8.extend_high_i8x16_s (local.get $row)) (local.get $high)))))
          (local.set $at (i32.add (local.get $at) (i32.const 64)))
          (local.set $p (i32.add (local.get $p) (i32.const 32)))
          (br_if $next_columns (i32.lt_u (local.get $p) (local.get $end))))
        (local.set $sum_a (i32x4.add
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
            (local.get $sum_a) (local.get $sum_b))
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
            (local.get $sum_a) (local.get $sum_b))))
        (local.set $sum_c (i32x4.add
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23
            (local.get $sum_c) (local.get $sum_d))
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31
            (local.get $sum_c) (local.get $sum_d))))
        (v128.store (local.get $y_row) (i32x4.add
          (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
            (local.get $sum_a) (local.get $sum_c))
          (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31
            (local.get $sum_a) (local.get $sum_c))))
        (local.set $x_row (i32.add (local.get $x_row) (local.get $x_stride)))
        (local.set $y_row (i32.add (local.get $y_row) (local.get $y_stride)))
        (local.set $v (i32.sub (local.get $v) (i32.const 1)))
        (br_if $next_vector (local.get $v)))
      (local.set $w (i32.add (local.get $w) (i32.shl (local.get $stride) (i32.const 2))))
      (local.set $y (i32.add (local.get $y) (i32.const 16)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 4)))
      (br_if $next_rows (i32.gt_s (local.get $rows) (i32.const 0)))))
)
